// Package release holds the words for what is brought to an environment: a
// release, its states, and the history that releases form. It knows nothing
// of where a history is kept or how a release is applied.
package release

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/analysis"
)

// Format is the version of Record's encoding. A reader takes its own format
// and all older ones.
const Format = 1

// Status is the state of a release. Only the first four are ever recorded;
// the others tell how a run ended that made no release.
type Status string

// The states. Underway is the only one that a record leaves again.
const (
	Underway   Status = "underway"    // a runner works on it, or died doing so
	Succeeded  Status = "succeeded"   // serves, and passed every check
	Failed     Status = "failed"      // failed and was left as it is
	RolledBack Status = "rolled-back" // failed and was undone
	Unchanged  Status = "unchanged"   // nothing had to be done
	Planned    Status = "planned"     // a dry run
	Refused    Status = "refused"     // refused before anything was changed
)

// Recorded says whether a record may hold the status.
func (s Status) Recorded() bool {
	switch s {
	case Underway, Succeeded, Failed, RolledBack:
		return true
	case Unchanged, Planned, Refused:
	}
	return false
}

// CanBecome says whether a record may go from s to next. A release that has
// ended stays as it ended; what was seen of its objects may still be renewed.
func (s Status) CanBecome(next Status) bool {
	return next.Recorded() && (s == Underway || s == next)
}

// Record is one release without its objects and without any secret: what
// histories, outputs and later runs read. Times are UTC.
type Record struct {
	Format      int    `json:"format"`
	Service     string `json:"service"`
	Environment string `json:"environment"`
	Namespace   string `json:"namespace"`
	Revision    int    `json:"revision"` // 1, 2, 3 … within service and environment

	Action   string `json:"action"` // deploy-staging, promote or rollback
	Strategy string `json:"strategy,omitempty"`
	Status   Status `json:"status"`
	Step     string `json:"step"`              // the last step begun: recorded before it is taken
	Reason   string `json:"reason,omitempty"`  // why a person wanted it
	Failure  string `json:"failure,omitempty"` // why it failed, in a sentence

	Image      string    `json:"image"` // repository@sha256:…
	Commit     string    `json:"commit,omitempty"`
	Committed  time.Time `json:"committed,omitzero"` // when the commit was made, where that is known
	Ref        string    `json:"ref,omitempty"`
	Actor      string    `json:"actor,omitempty"`
	Run        string    `json:"run,omitempty"`        // link to the run
	URL        string    `json:"url,omitempty"`        // where it answers from outside, empty: nowhere, or not known
	Deployment int64     `json:"deployment,omitempty"` // GitHub's number of it, 0: GitHub was not told
	Base       int       `json:"base,omitempty"`       // the release that was live before and is returned to, 0: none
	TookBack   bool      `json:"tookBack,omitempty"`   // it had changed what was live, and its undo returned to Base
	Restored   int       `json:"restored,omitempty"`   // the release whose objects this one brings back, 0: none
	Before     string    `json:"before,omitempty"`     // hash of the Job that had to succeed before it, empty: none
	Barrier    bool      `json:"barrier,omitempty"`    // no rollback goes behind this one: its Job ran, whatever became of the release
	Weight     int       `json:"weight"`               // share of traffic reached, in percent
	Started    time.Time `json:"started"`
	Ended      time.Time `json:"ended,omitzero"`

	Group   *Group            `json:"group,omitempty"` // the services that it was promoted together with
	Warm    *Warm             `json:"warm,omitempty"`  // the release before, where it was kept warm
	Checks  []analysis.Result `json:"checks,omitempty"`
	Load    *Load             `json:"load,omitempty"`    // its load test, nil: there was none
	Recheck *Recheck          `json:"recheck,omitempty"` // how it fared when it was tested again, nil: it was not
	Ramp    []Ramp            `json:"ramp,omitempty"`    // the flags that it opened, or found open
	Objects []Object          `json:"objects,omitempty"` // in the order in which they are applied
	Beside  []Object          `json:"beside,omitempty"`  // what stands beside the release while it is under way, a canary: removed when it ends
	Steered *Steered          `json:"steered,omitempty"` // how traffic was led off its usual way meanwhile
}

// Bare is the record for an output: without any list of objects. Names of
// objects are no secret, but 2,000 of them are no output either.
func (r Record) Bare() Record {
	r.Objects, r.Beside = nil, nil
	if r.Warm != nil {
		warm := *r.Warm
		warm.Objects = nil
		r.Warm = &warm
	}
	return r
}

// Group is services that are promoted together: all of their releases become
// live, or none. The leader's release decides: once its record says that all
// have passed, a kill is settled forwards for every member, before that back.
type Group struct {
	Services []string `json:"services"` // the members, the leader first
	Revision int      `json:"revision"` // of the leader's release; 0 in the leader's own record
}

// Leader is the member whose release decides.
func (g *Group) Leader() string { return g.Services[0] }

// Led is the leader's release, by which a member's own record of the group
// tells that group from the same services' others.
func (g *Group) Led(own Record) int { return cmp.Or(g.Revision, own.Revision) }

// Recheck is the newest outcome of testing a release again that was live
// already. Checks are then those of that time.
type Recheck struct {
	At      time.Time `json:"at"`
	Run     string    `json:"run,omitempty"`     // link to the run
	Failure string    `json:"failure,omitempty"` // why it does not pass any more, in a sentence; empty: it passed
}

// Relapsed says whether a release that succeeded failed its tests since.
func (r Record) Relapsed() bool { return r.Recheck != nil && r.Recheck.Failure != "" }

// Load is what a load test measured. The next release's is compared with it.
type Load struct {
	Text    string `json:"text"`              // how the load was made; only equal ones compare
	Against int    `json:"against,omitempty"` // the release whose load test it was compared with, 0: none
	analysis.Measurement
	Statuses map[int]int64    `json:"statuses,omitempty"` // requests by status; 0: no answer
	Problems map[string]int64 `json:"problems,omitempty"` // why there was no answer
}

// Warm is a release that runs on without traffic, so that a rollback can give
// it all traffic back at once.
type Warm struct {
	Revision int       `json:"revision"`
	ID       string    `json:"id"`                // the value of the label that its pods have
	Until    time.Time `json:"until"`             // when the cluster ends it
	Objects  []Object  `json:"objects,omitempty"` // what keeps it
}

// ID names a release for people: "orders 7".
func (r Record) ID() string { return fmt.Sprintf("%s %d", r.Service, r.Revision) }

// VersionedLabel marks configuration whose name was made from its content. It
// is kept as long as a release that can be restored needs it.
const VersionedLabel = "fibership.dev/versioned"

// Object identifies one object of a release and what was last seen of it.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	Hash       string `json:"hash"`                // of the object as the release brought it
	Now        string `json:"now,omitempty"`       // of the object as applied last, where that is another: a ramp changed it
	UID        string `json:"uid,omitempty"`       // of the live object after it was applied
	Versioned  bool   `json:"versioned,omitempty"` // configuration under a name made from its content
	Seen       string `json:"seen,omitempty"`      // its generation, or its resourceVersion where it has none
	Adopted    bool   `json:"adopted,omitempty"`   // it was there before a release took it over: it is never deleted
}

// Applied is the hash of the object as it was applied last.
func (o Object) Applied() string { return cmp.Or(o.Now, o.Hash) }

// String reads "Deployment orders" or "ConfigMap staging/orders".
func (o Object) String() string { return o.Kind + " " + o.Name }

// Key tells objects apart; two with one key are the same object.
func (o Object) Key() string {
	gk := o.GroupKind()
	return gk.Group + "/" + gk.Kind + "/" + o.Namespace + "/" + o.Name
}

// GroupKind is the object's kind without its version.
func (o Object) GroupKind() schema.GroupKind {
	return schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).GroupKind()
}

// Describe identifies u. The hash is taken over u's canonical JSON, so that
// equal manifests have equal hashes.
func Describe(u *unstructured.Unstructured) Object {
	return Object{
		APIVersion: u.GetAPIVersion(), Kind: u.GetKind(),
		Namespace: u.GetNamespace(), Name: u.GetName(),
		Hash:      hash(u),
		Versioned: u.GetLabels()[VersionedLabel] == "true",
	}
}

func hash(u *unstructured.Unstructured) string {
	raw, err := json.Marshal(u.Object) // maps are written in the order of their keys
	if err != nil {
		panic(fmt.Sprintf("an object that was decoded cannot be encoded: %v", err))
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
