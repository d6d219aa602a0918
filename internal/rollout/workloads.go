package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

func (w *watched) deployment() Judgement {
	d, ok := typed[appsv1.Deployment](w)
	if !ok {
		return w.byConditions()
	}
	j := Judgement{Want: or(d.Spec.Replicas, 1)}
	var pods []*corev1.Pod
	own := w.replicaSets(d)
	current := current(d, own)
	for _, rs := range own {
		owned := w.owned(rs.UID)
		if rs == current {
			pods = owned
			w.refusals(rs.UID, "ReplicaSet", rs.Name, rs, countStaying(owned) < or(rs.Spec.Replicas, 1))
			continue
		}
		j.Old += countStaying(owned)
	}
	j.Ready = countReady(pods)

	s := d.Status
	seen := s.ObservedGeneration >= d.Generation
	if seen && s.UpdatedReplicas == j.Want && s.Replicas == s.UpdatedReplicas &&
		s.ReadyReplicas == j.Want && s.AvailableReplicas == j.Want && w.settled(pods) {
		j.State, j.Ready = Serving, j.Want
		return j
	}
	w.pods(pods, true)
	if d.Spec.Paused {
		w.add(trouble{state: Suspect, reason: Paused, detail: "the Deployment is paused: nothing rolls out"})
	}
	for _, c := range s.Conditions {
		// The condition outlives the rollout it tells of until the next one
		// gets on: one from before the last change says nothing.
		if seen && c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" && !c.LastUpdateTime.Time.Before(w.changed) {
			w.add(trouble{
				state: Doomed, reason: DeadlineExceeded,
				detail: fmt.Sprintf("no progress within progressDeadlineSeconds (%d s)", or(d.Spec.ProgressDeadlineSeconds, 600)),
			})
		}
	}
	return j
}

// replicaSets gives the Deployment's own, oldest first.
func (w *watched) replicaSets(d *appsv1.Deployment) []*appsv1.ReplicaSet {
	var own []*appsv1.ReplicaSet
	for _, rs := range w.ReplicaSets {
		if rs == nil {
			continue
		}
		for _, ref := range rs.OwnerReferences {
			if or(ref.Controller, false) && ref.UID == d.UID && d.UID != "" {
				own = append(own, rs)
				break
			}
		}
	}
	slices.SortStableFunc(own, func(a, b *appsv1.ReplicaSet) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return own
}

// current finds the ReplicaSet whose template is the Deployment's, the oldest
// of several, as its controller does; nil before the controller has made it.
func current(d *appsv1.Deployment, own []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	plain := func(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
		t.Labels = maps.Clone(t.Labels)
		delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		return t
	}
	want := plain(d.Spec.Template)
	for _, rs := range own {
		if equality.Semantic.DeepEqual(plain(rs.Spec.Template), want) {
			return rs
		}
	}
	return nil
}

func (w *watched) statefulSet() Judgement {
	set, ok := typed[appsv1.StatefulSet](w)
	if !ok {
		return w.byConditions()
	}
	j := Judgement{Want: or(set.Spec.Replicas, 1)}
	s := set.Status
	seen := s.ObservedGeneration >= set.Generation
	var pods, old []*corev1.Pod
	for _, p := range w.owned(set.UID) {
		if seen && p.Labels[appsv1.ControllerRevisionHashLabelKey] == s.UpdateRevision {
			pods = append(pods, p)
		} else {
			old = append(old, p)
		}
	}
	j.Ready, j.Old = countReady(pods), countStaying(old)

	replaced := j.Want // how many pods are to be of the new revision
	byHand := set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	if r := set.Spec.UpdateStrategy.RollingUpdate; r != nil {
		replaced = max(0, replaced-or(r.Partition, 0))
	}
	if byHand {
		replaced = 0 // its pods are replaced when somebody deletes them
	}
	updated := s.UpdatedReplicas
	if s.UpdateRevision == s.CurrentRevision {
		updated = max(updated, s.CurrentReplicas)
	}
	if seen && updated >= replaced && s.Replicas == j.Want && s.ReadyReplicas == j.Want && s.AvailableReplicas == j.Want && w.settled(pods) {
		j.State, j.Ready = Serving, j.Want
		return j
	}
	w.refusals(set.UID, "StatefulSet", set.Name, nil, countStaying(pods)+countStaying(old) < j.Want)
	w.pods(pods, true)
	for _, p := range old {
		if seen && !byHand && p.DeletionTimestamp == nil && !isReady(p) && set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
			w.add(trouble{
				state: Suspect, reason: NotReady, pod: p.Name,
				detail: fmt.Sprintf("pod %s of an older revision is not ready and holds the update up: the controller replaces pods in order", p.Name),
			})
		}
	}
	return j
}

func (w *watched) daemonSet() Judgement {
	set, ok := typed[appsv1.DaemonSet](w)
	if !ok {
		return w.byConditions()
	}
	s := set.Status
	j := Judgement{Want: s.DesiredNumberScheduled}
	generation := set.Annotations[appsv1.DeprecatedTemplateGeneration]
	if generation == "" {
		generation = strconv.FormatInt(set.Generation, 10)
	}
	byHand := set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	var pods, old []*corev1.Pod
	for _, p := range w.owned(set.UID) {
		if p.Labels["pod-template-generation"] == generation {
			pods = append(pods, p)
		} else {
			old = append(old, p)
		}
	}
	j.Ready, j.Old = countReady(pods), countStaying(old)
	if s.ObservedGeneration >= set.Generation && (byHand || s.UpdatedNumberScheduled == j.Want) &&
		s.NumberReady >= j.Want && s.NumberAvailable >= j.Want && w.settled(pods) {
		j.State, j.Ready = Serving, j.Want
		return j
	}
	w.refusals(set.UID, "DaemonSet", set.Name, nil, countStaying(pods)+countStaying(old) < j.Want)
	w.pods(pods, true)
	return j
}

// pod judges a pod that stands for itself.
func (w *watched) pod() Judgement {
	p, ok := typed[corev1.Pod](w)
	if !ok {
		return w.byConditions()
	}
	j := Judgement{Want: 1}
	switch {
	case isReady(p), p.Status.Phase == corev1.PodSucceeded:
		j.State, j.Ready = Serving, 1
		return j
	case p.Status.Phase == corev1.PodFailed:
		w.add(trouble{state: Doomed, reason: JobFailed, pod: p.Name, detail: fmt.Sprintf("the pod failed: %s", firstOf(p.Status.Message, p.Status.Reason, "a container ended with an error"))})
	}
	w.pods([]*corev1.Pod{p}, p.Spec.RestartPolicy == corev1.RestartPolicyAlways)
	return j
}

// settled says whether the pods themselves bear out what the workload's status
// says. That may be older than they are; and one without a readiness probe is
// ready as soon as it runs, also when it is about to crash, and one that has
// just crashed may do so again.
func (w *watched) settled(pods []*corev1.Pod) bool {
	for _, p := range pods {
		if p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		if !isReady(p) {
			return false
		}
		ready, _ := condition(p, corev1.PodReady)
		for c := range containersOf(p) {
			if c.init && !c.sidecar {
				continue
			}
			running := c.status.State.Running
			if running == nil {
				return false
			}
			ran := w.Now.Sub(running.StartedAt.Time)
			if c.spec != nil && c.spec.ReadinessProbe == nil && min(ran, w.Now.Sub(ready.LastTransitionTime.Time)) < settleTime {
				return false
			}
			if last := c.status.LastTerminationState.Terminated; last != nil && ran < recoverTime && isCrash(last, c) {
				return false
			}
		}
	}
	return true
}
