package deploy

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

// The labels of ours. To apply an object puts them on one that was there
// before, too: that it bears them does not prove that we made it. Only what a
// record says we made is ever deleted.
const (
	serviceLabel     = "fibership.dev/service"
	environmentLabel = "fibership.dev/environment"
)

// Labels mark an object as belonging to a service in an environment. What
// lacks them is never deleted.
func Labels(service, environment string) map[string]string {
	return map[string]string{serviceLabel: service, environmentLabel: history.Word(environment)}
}

// OwnedError says that an object of the release is another service's.
type OwnedError struct {
	Object               release.Object
	Service, Environment string // whose it is
}

func (e *OwnedError) Error() string {
	return fmt.Sprintf("%s belongs to the service %s in %s", e.Object, e.Service, e.Environment)
}

// Next is what a person can do about it.
func (e *OwnedError) Next() string {
	return fmt.Sprintf("give it another name, or leave it out of one of the two services; where %s has given it up, take the label %s off it", e.Service, serviceLabel)
}

// owner is the error of an object whose labels name another owner.
func (t Target) owner(c Change) error {
	if c.Live == nil || !labelled(c.Live) || t.ours(c.Live) {
		return nil
	}
	l := c.Live.GetLabels()
	return &OwnedError{Object: c.Object, Service: l[serviceLabel], Environment: l[environmentLabel]}
}

func (t Target) ours(u *unstructured.Unstructured) bool {
	l := u.GetLabels()
	return l[serviceLabel] == t.Service && l[environmentLabel] == t.labels()[environmentLabel]
}

func labelled(u *unstructured.Unstructured) bool { return u.GetLabels()[serviceLabel] != "" }

// adopted says whether a live object was there before a release took it over.
// last is what the newest record that knows it says of it. Configuration under
// a name made from its content is ours if it bears our labels: who reads the
// records of a run that died does not find all that it wrote.
func adopted(live *unstructured.Unstructured, last release.Object, recorded bool) bool {
	switch {
	case live == nil, live.GetDeletionTimestamp() != nil:
		return false // what comes is made by us
	case recorded && (labelled(live) || last.UID != "" && last.UID == string(live.GetUID())):
		return last.Adopted
	case labelled(live):
		return live.GetLabels()[release.VersionedLabel] != "true"
	}
	return true
}

// kept says whether an object is never deleted. With a namespace would go all
// that is in it, whoever made the namespace.
func kept(o release.Object) bool {
	return o.Adopted || o.GroupKind() == schema.GroupKind{Kind: "Namespace"}
}

// leave gives up what is not ours to delete. Where a release is undone it is
// made as it was: what only we said of it goes. Later on, what releases said of
// it stays. What cannot be given up is told, and no reason to fail.
func (s *Session) leave(ctx context.Context, changes []Change, undo bool) error {
	for _, c := range changes {
		if c.Verb != Leave {
			continue
		}
		o := c.Object
		o.UID = string(c.Live.GetUID())
		var err error
		// What was taken from others by force would go as well.
		if undo && c.Live.GetAnnotations()[cluster.ForceAnnotation] != "true" {
			err = s.Cluster.Withdraw(ctx, o)
		} else {
			err = s.Cluster.Unlabel(ctx, o, serviceLabel, environmentLabel)
		}
		switch {
		case err == nil:
			s.Log.Linef("left %s: it is not deleted%s", o, why(c))
		case ctx.Err() != nil, lost(err):
			return fmt.Errorf("leave %s: %w", o, err)
		default:
			s.Log.Linef("left %s, and what we wrote to it: %v", o, err)
		}
	}
	return nil
}

func why(c Change) string {
	if c.Object.Adopted {
		return ", as it was there before"
	}
	return ""
}
