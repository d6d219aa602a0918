package rollout

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// job judges a Job: it serves when it is complete. Its failing pods are
// retried as its backoffLimit says, so that a crash alone dooms nothing.
func (w *watched) job() Judgement {
	job, ok := typed[batchv1.Job](w)
	if !ok {
		return w.byConditions()
	}
	j := Judgement{Want: or(job.Spec.Completions, or(job.Spec.Parallelism, 1)), Ready: job.Status.Succeeded}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			j.State = Serving
			return j
		case batchv1.JobFailed, batchv1.JobFailureTarget:
			reason := JobFailed
			if c.Reason == batchv1.JobReasonDeadlineExceeded {
				reason = DeadlineExceeded
			}
			w.troubles = []trouble{{
				state: Doomed, reason: reason, count: int(job.Status.Failed),
				detail: fmt.Sprintf("the Job failed: %s", firstOf(c.Message, c.Reason, "no reason given")),
			}}
			w.blame(job)
			return j
		case batchv1.JobSuspended:
			w.add(trouble{state: Suspect, reason: Paused, detail: "the Job is suspended: nothing runs"})
		case batchv1.JobSuccessCriteriaMet:
		}
	}
	pods := w.owned(job.UID)
	w.refusals(job.UID, "Job", job.Name, nil, countStaying(pods) == 0)
	w.pods(pods, false)
	return j
}

// blame points at the pod that failed last: its end explains the Job's.
func (w *watched) blame(job *batchv1.Job) {
	var last *corev1.ContainerStateTerminated
	t := &w.troubles[0]
	for _, p := range w.owned(job.UID) {
		for c := range containersOf(p) {
			end := c.status.State.Terminated
			if end == nil {
				end = c.status.LastTerminationState.Terminated
			}
			if end != nil && end.ExitCode != 0 && (last == nil || last.FinishedAt.Before(&end.FinishedAt)) {
				last, t.pod, t.container = end, p.Name, c.status.Name
			}
		}
	}
}
