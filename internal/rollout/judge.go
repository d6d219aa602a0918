package rollout

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// How long a trouble that only a person can end is given all the same,
// because it shows for a moment in rollouts that succeed.
const (
	configGrace        = 10 * time.Second // what is missing may be created a moment later
	quotaGrace         = 10 * time.Second // old pods may give their share back
	refusedGrace       = 3 * time.Second  // admission answers the same every time, once its configuration has settled
	unschedulableGrace = 30 * time.Second // an autoscaler looks every 10 s
	answerGrace        = 20 * time.Second // a readiness probe that is answered, but with 4xx
)

// How long a pod must have run before it counts, where nothing but its
// running says that it works.
const (
	settleTime  = 5 * time.Second  // without a readiness probe; the kubelet's own word may be two seconds old
	recoverTime = 10 * time.Second // after a crash
)

// Judge decides where a workload stands. It is pure: equal observations give
// equal judgements. A rollout is doomed only by what does not pass by itself;
// what may pass is suspect, and Count says how often it was seen.
func Judge(o Observed) Judgement {
	if o.Workload == nil && o.behind {
		return Judgement{}
	}
	if o.Workload == nil {
		return Judgement{State: Suspect, Reason: Missing, Detail: "the object is not in the cluster"}
	}
	w := &watched{Observed: o, changed: changed(o.Workload)}
	var j Judgement
	switch kindOf(o.Workload) {
	case "Deployment.apps":
		j = w.deployment()
	case "StatefulSet.apps":
		j = w.statefulSet()
	case "DaemonSet.apps":
		j = w.daemonSet()
	case "Job.batch":
		j = w.job()
	case "Pod.":
		j = w.pod()
	default:
		j = w.byConditions()
	}
	if j.State == Serving || len(w.troubles) == 0 {
		return j
	}
	byCause := func(a, b trouble) int {
		return cmp.Or(cmp.Compare(a.reason.rank(), b.reason.rank()), cmp.Compare(b.count, a.count), cmp.Compare(a.pod, b.pod))
	}
	worst := slices.MinFunc(w.troubles, func(a, b trouble) int {
		return cmp.Or(cmp.Compare(b.state, a.state), byCause(a, b)) // Doomed before Suspect
	})
	if worst.reason == DeadlineExceeded {
		// A deadline ends the wait, but what it was missed for explains it.
		worst = slices.MinFunc(w.troubles, byCause)
		worst.state = Doomed
	}
	j.State, j.Reason, j.Detail, j.Count = worst.state, worst.reason, worst.detail, worst.count
	j.Pod, j.Container, j.missing = worst.pod, worst.container, worst.missing
	return j
}

// trouble is one thing that is wrong. Its state is Suspect or Doomed.
type trouble struct {
	state          State
	reason         Reason
	detail         string
	count          int
	pod, container string
	missing        reference
}

// reference names an object in the workload's namespace that a pod needs.
type reference struct{ kind, name string }

// watched is an observation with the troubles found in it so far.
type watched struct {
	Observed
	changed  time.Time // when the workload was last changed by anyone but its controller
	troubles []trouble
}

func (w *watched) add(t trouble) { w.troubles = append(w.troubles, t) }

// after gives Doomed once grace has gone by since, else Suspect.
func (w *watched) after(grace time.Duration, since time.Time) State {
	if since.IsZero() || w.Now.Sub(since) < grace {
		return Suspect
	}
	return Doomed
}

// typed reads the workload as the type of its kind; false where it is not
// what its kind promises.
func typed[T any](w *watched) (*T, bool) {
	var t T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(w.Workload.Object, &t)
	return &t, err == nil
}

func kindOf(u *unstructured.Unstructured) string {
	gk := u.GroupVersionKind().GroupKind()
	return gk.Kind + "." + gk.Group
}

// changed is when u's specification was last written. Controllers write
// through subresources; managed fields tell them from everybody else.
func changed(u *unstructured.Unstructured) time.Time {
	at := u.GetCreationTimestamp().Time
	for _, f := range u.GetManagedFields() {
		if f.Subresource == "" && f.Time != nil && f.Time.After(at) && f.Manager != "kube-controller-manager" {
			at = f.Time.Time
		}
	}
	return at
}

func ownedBy(p *corev1.Pod, uid types.UID) bool {
	for _, ref := range p.OwnerReferences {
		if ref.Controller != nil && *ref.Controller && ref.UID == uid {
			return true
		}
	}
	return false
}

// owned gives the pods that the object with the UID controls.
func (w *watched) owned(uid types.UID) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range w.Pods {
		if p != nil && uid != "" && ownedBy(p, uid) {
			pods = append(pods, p)
		}
	}
	return pods
}

func condition(p *corev1.Pod, t corev1.PodConditionType) (corev1.PodCondition, bool) {
	for _, c := range p.Status.Conditions {
		if c.Type == t {
			return c, true
		}
	}
	return corev1.PodCondition{}, false
}

func isReady(p *corev1.Pod) bool {
	c, ok := condition(p, corev1.PodReady)
	return ok && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
}

func countReady(pods []*corev1.Pod) int32 {
	n := int32(0)
	for _, p := range pods {
		if isReady(p) {
			n++
		}
	}
	return n
}

// countStaying counts pods that nobody has told to go.
func countStaying(pods []*corev1.Pod) int32 {
	n := int32(0)
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			n++
		}
	}
	return n
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
