// Package rollout says whether a workload that was just applied serves, is on
// its way, or will never serve, and why.
//
// Judge decides from what was observed and from nothing else; Wait observes,
// and ends with the first fact that settles the matter; the Dossier of a
// Failure holds what explains it, gathered before anybody undoes anything.
// The package knows nothing of images, traffic or releases, and it writes
// nothing to the cluster.
package rollout

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// State is where a rollout stands.
type State int

// The states. Going is the zero value: what was not looked at neither serves
// nor has failed.
const (
	Going   State = iota // on its way, nothing speaks against it
	Serving              // all that was wanted is there and takes requests
	Suspect              // something is wrong that may pass by itself
	Doomed               // will not serve, however long one waits
)

// String is the state as people read it.
func (s State) String() string {
	switch s {
	case Going:
		return "going on"
	case Serving:
		return "serving"
	case Suspect:
		return "suspect"
	case Doomed:
		return "doomed"
	}
	return "unknown"
}

// Judgement is what was made of a workload at one moment.
type Judgement struct {
	State State
	Ready int32  // new pods that are ready; completions of a Job
	Want  int32  // new pods wanted; completions wanted
	Old   int32  // pods of older versions that are still there
	Count int    // how often the trouble was seen: crashes, attempts; 0 without trouble
	Pod   string // the pod that Reason was found at, empty where none
	// Container is the container that Reason was found at, empty where none.
	Container string
	Reason    Reason // empty without trouble
	Detail    string // a sentence that holds foreign text: escape it at the edge

	missing reference // what is not there, where that is the trouble
}

// Observed is all that Judge looks at. Whatever could not be read is left
// empty: the verdict then comes later or says less, but is not wrong.
type Observed struct {
	// Workload is a Deployment, StatefulSet, DaemonSet or Job, or any other
	// object, which is then judged by its conditions. Nil where it is not there.
	Workload    *unstructured.Unstructured
	ReplicaSets []*appsv1.ReplicaSet // at least the Deployment's own
	Pods        []*corev1.Pod        // at least the workload's own
	Events      []*corev1.Event      // at least those about the workload, its ReplicaSets and pods
	behind      bool                 // the workload was seen, but not yet as it was applied
	Now         time.Time            // by the cluster's clock: timestamps are compared with it
}
