package rollout

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// refusals looks for pods that the API server did not take from their
// controller. A ReplicaSet says so in a condition, which goes when it passes;
// the others by events only, which stay: those count only while pods are short
// and when they are of this version.
func (w *watched) refusals(uid types.UID, kind, name string, rs *appsv1.ReplicaSet, short bool) {
	if !short {
		return
	}
	if rs != nil {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue && c.Reason == "FailedCreate" {
				w.refused(c.Message, c.LastTransitionTime.Time, 1)
				return
			}
		}
		if rs.Status.ObservedGeneration > 0 {
			return // it has looked, and nothing was refused
		}
	}
	for _, e := range w.about(uid, kind, name) {
		if e.Reason == "FailedCreate" && !lastSeen(e).Before(w.changed) {
			since := firstSeen(e)
			if since.Before(w.changed) {
				since = w.changed
			}
			w.refused(e.Message, since, times(e))
			return
		}
	}
}

func (w *watched) refused(said string, since time.Time, count int) {
	t := trouble{state: Suspect, reason: Refused, count: count, detail: "its pods are refused: " + short(said)}
	switch {
	case strings.Contains(said, "exceeded quota"):
		t.reason = Quota
		t.state = w.after(quotaGrace, since)
		if w.leaving() {
			t.state = Suspect // pods on their way out give their share back
		}
	case strings.Contains(said, "failed quota"): // "must specify limits.memory"
		t.reason = Quota
		t.state = w.after(refusedGrace, since)
	case named.MatchString(said):
		t.reason, t.missing = ConfigMissing, missingIn(said)
		t.state = w.after(configGrace, since)
	case strings.Contains(said, "failed calling webhook"), strings.Contains(said, "not yet ready"),
		strings.Contains(said, "status unknown for quota"), strings.Contains(said, "timed out"): // passes
	case strings.Contains(said, "denied the request"), strings.Contains(said, "violates PodSecurity"),
		strings.Contains(said, " is invalid:"), usagePer.MatchString(said), strings.Contains(said, "is forbidden:"):
		t.state = w.after(refusedGrace, since)
	}
	w.add(t)
}

// usagePer is what LimitRanges say.
var usagePer = regexp.MustCompile(`(maximum|minimum) \S+ usage per|limit to request ratio`)

func (w *watched) leaving() bool {
	for _, p := range w.Pods {
		if p != nil && p.DeletionTimestamp != nil {
			return true
		}
	}
	return false
}

// scheduling looks at a pod that no node has taken.
func (w *watched) scheduling(p *corev1.Pod) {
	c, ok := condition(p, corev1.PodScheduled)
	if !ok || c.Status != corev1.ConditionFalse {
		return
	}
	t := trouble{
		state: Suspect, reason: Unschedulable, count: 1, pod: p.Name,
		detail: fmt.Sprintf("no node takes pod %s: %s", p.Name, firstOf(c.Message, c.Reason)),
	}
	switch {
	case c.Reason == corev1.PodReasonSchedulingGated:
		t.detail = fmt.Sprintf("pod %s is held back by its scheduling gates", p.Name)
	case strings.Contains(c.Message, "persistentvolumeclaim") && named.MatchString(c.Message):
		t.reason, t.missing = ClaimMissing, missingIn(c.Message)
		t.state = w.after(configGrace, c.LastTransitionTime.Time)
	case strings.Contains(c.Message, "unbound immediate PersistentVolumeClaims"):
		t.reason = ClaimMissing
	case neverFits(c.Message) && !w.scaling(p):
		t.state = w.after(unschedulableGrace, c.LastTransitionTime.Time)
	}
	w.add(t)
}

// scaling says whether an autoscaler has answered for the pod.
func (w *watched) scaling(p *corev1.Pod) bool {
	for _, e := range w.about(p.UID, "Pod", p.Name) {
		switch e.Reason {
		case "TriggeredScaleUp", "Nominated", "Provisioned":
			return true
		}
	}
	return false
}

var (
	noNodes   = regexp.MustCompile(`^0/(\d+) nodes are available: (.+?)\. .*preemption: 0/(\d+) nodes are available: (\d+) Preemption is not helpful for scheduling`)
	permanent = regexp.MustCompile(`^\d+ (Insufficient \S+|node\(s\) didn't match Pod's node affinity/selector|node\(s\) didn't match the requested node name|node\(s\) had untolerated taints? \{.+\})$`)
	ofTheNode = regexp.MustCompile(`node\.(kubernetes|cloudprovider\.kubernetes|cilium|ocean\.spot)\.io/|ToBeDeleted|DeletionCandidate|karpenter\.sh|not-?ready|startup`)
)

// neverFits reads the scheduler's own account. A pod never fits the nodes
// that there are when emptying them would not help on any of them, and when
// no reason is one that passes by itself: a node that starts, is drained, or
// holds another pod.
func neverFits(said string) bool {
	m := noNodes.FindStringSubmatch(strings.Join(strings.Fields(said), " "))
	if m == nil || m[1] == "0" || m[1] != m[3] || m[1] != m[4] {
		return false
	}
	for reason := range strings.SplitSeq(m[2], ", ") {
		if !permanent.MatchString(reason) || ofTheNode.MatchString(reason) {
			return false
		}
	}
	return true
}

// volumes looks at what keeps a pod's containers from being made at all.
func (w *watched) volumes(p *corev1.Pod) {
	for _, e := range w.about(p.UID, "Pod", p.Name) {
		t := trouble{state: Suspect, reason: VolumeFailed, count: times(e), pod: p.Name}
		switch e.Reason {
		case "Pulling", "Pulled", "Created", "Started":
			return // the volumes were there by then
		case "FailedMount":
			if isSettling(e.Message) {
				continue
			}
			t.detail = fmt.Sprintf("a volume of pod %s cannot be mounted: %s", p.Name, short(e.Message))
			final := strings.Contains(e.Message, "non-existent config key") || strings.Contains(e.Message, "hostPath type check failed")
			if m := missingIn(e.Message); m != (reference{}) {
				final = true
				t.reason, t.missing = ConfigMissing, m
			}
			if final {
				t.state = w.after(configGrace, firstSeen(e))
			}
		case "FailedAttachVolume":
			t.detail = fmt.Sprintf("a volume of pod %s cannot be attached: %s", p.Name, short(e.Message))
		case "FailedCreatePodSandBox":
			t.reason = CannotStart
			t.detail = fmt.Sprintf("the node cannot set up pod %s: %s", p.Name, short(e.Message))
		default:
			continue
		}
		w.add(t)
		return
	}
}
