package rollout

import (
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/release"
)

// Failure is why Wait gave a workload up. It was doomed, or it did not serve
// when the time was up; then the Judgement holds the likeliest trouble.
type Failure struct {
	Object release.Object
	Judgement
	After   time.Duration // from the call of Wait to the verdict
	Timeout time.Duration // set where the time was up
	Dossier Dossier
}

// Error is the cause in one sentence.
func (f *Failure) Error() string {
	cause := f.Dossier.Cause
	if cause == "" {
		cause = f.Detail
	}
	switch job := f.Object.Kind == "Job"; {
	case job && f.Timeout > 0:
		return fmt.Sprintf("%s has not ended after %s: %s", f.Object, f.Timeout.Round(time.Second), cause)
	case job:
		return fmt.Sprintf("%s failed: %s", f.Object, cause)
	case f.Timeout > 0:
		return fmt.Sprintf("%s does not serve after %s: %s", f.Object, f.Timeout.Round(time.Second), cause)
	}
	return fmt.Sprintf("%s will not serve: %s", f.Object, cause)
}

// Next is the next step to take.
func (f *Failure) Next() string { return f.Dossier.Next }

// Dossier is what explains a failure, gathered while it was still there. It
// is bounded, and obvious credentials are taken out of it already. All of its
// text is foreign: escape and mask it at the edge.
type Dossier struct {
	Cause  string        // in one sentence
	Next   string        // the next step to take
	Pods   []PodEvidence // the pods that say most, at most a few
	Events []string      // newest first, each kind once
	Notes  []string      // what could not be read, and why
}

// PodEvidence is what one pod shows.
type PodEvidence struct {
	Name       string
	Node       string // empty where no node took it
	Phase      string
	Reason     string // of the pod's phase or of its scheduling, where there is one
	Containers []ContainerEvidence
}

// ContainerEvidence is what one container shows.
type ContainerEvidence struct {
	Name     string
	Init     bool
	Image    string
	State    string   // "waiting: CrashLoopBackOff", "running, not ready", "ended: OOMKilled"
	Message  string   // the kubelet's words, shortened
	Reason   string   // of the last end: Error, OOMKilled, StartError, Completed
	ExitCode int32    // of the last end
	Ended    bool     // whether Reason and ExitCode tell anything
	Restarts int32    //
	Log      []string // last lines of the container as it runs or as it ended, oldest first
	Previous []string // last lines of the container before its last restart
	Unread   bool     // there is a log, but it could not be read

	started   bool // it has run: there is a log
	restarted bool // it has run before: there is a log of that, too
}
