package rollout

import (
	"fmt"
	"iter"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// pods looks for trouble in the new pods. Where crashing dooms, the second
// crash of one container does; the pods of a Job are retried by design.
func (w *watched) pods(pods []*corev1.Pod, crashDooms bool) {
	for _, p := range pods {
		if p.DeletionTimestamp != nil || isReady(p) {
			continue
		}
		if p.Status.Phase == corev1.PodFailed && p.Status.Reason != "" {
			// Evicted, Preempting, NodeAffinity …: its owner makes another one.
			w.add(trouble{
				state: Suspect, reason: Evicted, pod: p.Name, count: 1,
				detail: fmt.Sprintf("pod %s was given up by its node: %s", p.Name, firstOf(p.Status.Message, p.Status.Reason)),
			})
			continue
		}
		w.scheduling(p)
		waits := false
		for c := range containersOf(p) {
			w.crashing(p, c, crashDooms)
			switch s := c.status.State; {
			case s.Waiting != nil && s.Waiting.Reason != "":
				waits = waits || s.Waiting.Reason == "ContainerCreating" || s.Waiting.Reason == "PodInitializing"
				w.waiting(p, c)
			case s.Running != nil:
				w.unready(p, c)
			}
		}
		if waits || len(p.Status.ContainerStatuses) == 0 {
			w.volumes(p)
		}
		for _, gate := range p.Spec.ReadinessGates {
			ready, _ := condition(p, corev1.ContainersReady)
			if c, ok := condition(p, gate.ConditionType); ready.Status == corev1.ConditionTrue && (!ok || c.Status != corev1.ConditionTrue) {
				w.add(trouble{
					state: Suspect, reason: NotReady, pod: p.Name,
					detail: fmt.Sprintf("the containers of pod %s are ready, its readiness gate %s is not", p.Name, gate.ConditionType),
				})
			}
		}
	}
}

// container is a container of a pod: what was asked for, and how it is.
type container struct {
	spec    *corev1.Container // nil where the pod's specification does not name it
	status  *corev1.ContainerStatus
	init    bool
	sidecar bool // an init container that goes on beside the others
	ends    bool // it is meant to end, with exit code 0
}

// containersOf gives the pod's containers that have a status, init first.
func containersOf(p *corev1.Pod) iter.Seq[container] {
	return func(yield func(container) bool) {
		for _, half := range []struct {
			init     bool
			specs    []corev1.Container
			statuses []corev1.ContainerStatus
		}{
			{true, p.Spec.InitContainers, p.Status.InitContainerStatuses},
			{false, p.Spec.Containers, p.Status.ContainerStatuses},
		} {
			for i := range half.statuses {
				c := container{status: &half.statuses[i], init: half.init}
				for k := range half.specs {
					if half.specs[k].Name == c.status.Name {
						c.spec = &half.specs[k]
						c.sidecar = half.init && or(c.spec.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways
					}
				}
				always := p.Spec.RestartPolicy == corev1.RestartPolicyAlways || p.Spec.RestartPolicy == ""
				c.ends = !c.sidecar && (c.init || !always)
				if !yield(c) {
					return
				}
			}
		}
	}
}

// isCrash says whether an end was one that should not have been.
func isCrash(end *corev1.ContainerStateTerminated, c container) bool {
	if end.Reason == "ContainerStatusUnknown" { // the node forgot it, in a restart of its own
		return false
	}
	return end.ExitCode != 0 || !c.ends
}

// crashes counts the container's ends and gives the last one. restartCount
// is the number of the container that is there now: once that has ended too,
// there has been one end more.
func crashes(s *corev1.ContainerStatus) (int, *corev1.ContainerStateTerminated) {
	n, last := int(s.RestartCount), s.LastTerminationState.Terminated
	switch {
	case s.State.Terminated != nil:
		return n + 1, s.State.Terminated
	case s.State.Waiting != nil && last != nil:
		return n + 1, last
	}
	return n, last
}

// oldAge is how old a pod is whose restarts tell of its past: then only the
// kubelet's own word for a crash loop counts, which it takes back after ten
// good minutes.
const oldAge = 15 * time.Minute

func (w *watched) crashing(p *corev1.Pod, c container, dooms bool) {
	n, last := crashes(c.status)
	if last == nil || n == 0 || !isCrash(last, c) || c.status.Ready {
		return
	}
	t := trouble{state: Suspect, reason: CrashLoop, count: n, pod: p.Name, container: c.status.Name}
	often := "once"
	if n > 1 {
		often = fmt.Sprintf("%d times", n)
	}
	what := fmt.Sprintf("container %s of pod %s", c.status.Name, p.Name)
	switch {
	case last.Reason == "OOMKilled":
		t.reason = OutOfMemory
		t.detail = fmt.Sprintf("%s was killed at its memory limit%s, %s", what, limit(c), often)
	case last.Reason == "StartError" || last.Reason == "ContainerCannotRun":
		t.reason = CannotStart
		t.detail = fmt.Sprintf("%s cannot be started: %s", what, firstOf(short(last.Message), "the runtime does not say why"))
	case w.probed(p, c, "Liveness", last):
		t.reason = LivenessKills
		t.detail = fmt.Sprintf("%s is restarted because its liveness probe fails%s, %s", what, w.answered(p, c.status.Name, "Liveness"), often)
	case w.probed(p, c, "Startup", last):
		t.reason = StartupTooSlow
		t.detail = fmt.Sprintf("%s is restarted because its startup probe fails%s, %s", what, w.answered(p, c.status.Name, "Startup"), often)
	case last.ExitCode == 137 && limit(c) != "":
		// Runtimes miss now and then that it was the kernel's doing.
		t.reason = OutOfMemory
		t.detail = fmt.Sprintf("%s was killed with exit code 137, most likely at its memory limit%s, %s", what, limit(c), often)
	case last.ExitCode == 0:
		t.reason = Completed
		t.detail = fmt.Sprintf("%s ended with exit code 0 although it should go on, %s", what, often)
	default:
		t.detail = fmt.Sprintf("%s ended with exit code %d, %s", what, last.ExitCode, often)
	}
	looping := c.status.State.Waiting != nil && c.status.State.Waiting.Reason == "CrashLoopBackOff"
	young := p.CreationTimestamp.IsZero() || w.Now.Sub(p.CreationTimestamp.Time) < oldAge
	if dooms && n > 1 && (young || looping) {
		t.state = Doomed
	}
	w.add(t)
}

func limit(c container) string {
	if c.spec == nil || c.spec.Resources.Limits.Memory().IsZero() {
		return ""
	}
	return " (" + c.spec.Resources.Limits.Memory().String() + ")"
}

// probed says whether the kubelet ended the container for a probe of the kind.
// Events come a little later than the pod's status does; of a container that
// is killed again and again, those about the time before count as well.
func (w *watched) probed(p *corev1.Pod, c container, kind string, end *corev1.ContainerStateTerminated) bool {
	told := false
	grace := time.Duration(or(p.Spec.TerminationGracePeriodSeconds, 30))*time.Second + 10*time.Second
	for _, e := range w.about(p.UID, "Pod", p.Name) {
		told = told || e.Reason == "Unhealthy"
		if containerOf(e) != c.status.Name || firstSeen(e).After(end.FinishedAt.Add(time.Second)) || lastSeen(e).Before(end.StartedAt.Add(-grace)) {
			continue
		}
		if e.Reason == "Killing" && strings.Contains(e.Message, "failed "+strings.ToLower(kind)+" probe") {
			return true
		}
		// A probe fails in any start that takes a moment: alone it tells nothing
		// of a process that ended by itself.
		if e.Reason == "Unhealthy" && toldToEnd(end) && strings.HasPrefix(e.Message, kind+" probe") && end.FinishedAt.Sub(lastSeen(e)) <= grace+end.FinishedAt.Sub(end.StartedAt.Time) {
			return true
		}
	}
	// A busy node holds its events back. What ended as one that is told to end,
	// when its probe's patience was over, was most likely ended for it.
	probe := c.probe(kind)
	return !told && probe != nil && toldToEnd(end) && patience(probe, grace).holds(end.FinishedAt.Sub(end.StartedAt.Time))
}

// probe is the container's probe of the kind, nil where it has none.
func (c container) probe(kind string) *corev1.Probe {
	switch {
	case c.spec == nil:
		return nil
	case kind == "Startup":
		return c.spec.StartupProbe
	}
	return c.spec.LivenessProbe
}

// toldToEnd recognises the exit codes of a process that took SIGTERM well, did
// not take it, or was killed.
func toldToEnd(end *corev1.ContainerStateTerminated) bool {
	return end.ExitCode == 0 || end.ExitCode == 137 || end.ExitCode == 143
}

// span is a range of durations.
type span struct{ least, most time.Duration }

func (s span) holds(d time.Duration) bool { return s.least <= d && d <= s.most }

// patience is how long a container lives whose probe never succeeds.
func patience(p *corev1.Probe, grace time.Duration) span {
	period := time.Duration(max(1, p.PeriodSeconds)) * time.Second
	least := time.Duration(p.InitialDelaySeconds)*time.Second + time.Duration(max(1, p.FailureThreshold)-1)*period
	return span{least: max(0, least-time.Second), most: least + 2*period + grace}
}

// mayBeProbed says whether the container has a probe that the kubelet ends it
// for, and ended in a way that such an end looks like.
func (o Observed) mayBeProbed(pod, container string) bool {
	for _, p := range o.Pods {
		if p == nil || p.Name != pod {
			continue
		}
		for c := range containersOf(p) {
			if _, end := crashes(c.status); c.status.Name == container && c.spec != nil && end != nil {
				return (c.spec.LivenessProbe != nil || c.spec.StartupProbe != nil) && toldToEnd(end)
			}
		}
	}
	return false
}

// answered repeats what a probe of the kind last saw: " (HTTP probe …)".
func (w *watched) answered(p *corev1.Pod, container, kind string) string {
	for _, e := range w.about(p.UID, "Pod", p.Name) {
		if said, ok := strings.CutPrefix(e.Message, kind+" probe failed: "); ok && containerOf(e) == container {
			return " (" + short(said) + ")"
		}
	}
	return ""
}

// unready looks at a container that runs and is not ready.
func (w *watched) unready(p *corev1.Pod, c container) {
	if c.status.Ready || (c.init && !c.sidecar) {
		return
	}
	running := c.status.State.Running
	for _, e := range w.about(p.UID, "Pod", p.Name) { // newest first
		kind, said, ok := strings.Cut(e.Message, " probe ")
		if e.Reason != "Unhealthy" && e.Reason != "ProbeError" || !ok || containerOf(e) != c.status.Name || lastSeen(e).Before(running.StartedAt.Time) {
			continue
		}
		t := trouble{state: Suspect, reason: NotReady, count: times(e), pod: p.Name, container: c.status.Name}
		t.detail = fmt.Sprintf("container %s of pod %s runs, its %s probe %s", c.status.Name, p.Name, strings.ToLower(kind), short(said))
		// A server that answers 404 is up: the path is wrong. Whatever may
		// come with time (5xx, refused, slow) has the time it was given.
		since := firstSeen(e)
		if running.StartedAt.After(since) {
			since = running.StartedAt.Time
		}
		if kind == "Readiness" && isFinalAnswer(said) && t.count > 1 {
			t.state = w.after(answerGrace, since)
		}
		w.add(t)
		return
	}
	// A busy node holds its events back: then time tells.
	if probe := c.readiness(); probe != nil && w.Now.Sub(running.StartedAt.Time) > patience(probe, 0).most {
		w.add(trouble{
			state: Suspect, reason: NotReady, count: 1, pod: p.Name, container: c.status.Name,
			detail: fmt.Sprintf("container %s of pod %s runs, its readiness probe does not succeed", c.status.Name, p.Name),
		})
	}
}

func (c container) readiness() *corev1.Probe {
	if c.spec == nil {
		return nil
	}
	return c.spec.ReadinessProbe
}

// isFinalAnswer recognises a probe that was answered with a 4xx status that
// does not ask to come again.
func isFinalAnswer(said string) bool {
	_, code, ok := strings.Cut(said, "statuscode: ")
	if !ok || len(code) < 3 || code[0] != '4' {
		return false
	}
	switch code[:3] {
	case "408", "423", "425", "429":
		return false
	}
	return true
}
