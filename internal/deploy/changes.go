package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// Verb says what happens to an object.
type Verb string

// The verbs of a plan.
const (
	Same   Verb = "unchanged"
	Create Verb = "create"
	Update Verb = "update"
	Remove Verb = "remove"
	// Recreate deletes an object and creates it again: it cannot be changed in
	// place, and its annotation allows this; or it is being deleted already.
	Recreate Verb = "recreate"
	// Leave takes our labels off an object that is not wanted any more, and
	// that was there before we came: it is not ours to delete.
	Leave Verb = "leave"
)

// Change is what a plan does to one object.
type Change struct {
	Verb   Verb
	Object release.Object
	Wanted *unstructured.Unstructured // nil: to be removed or left
	Live   *unstructured.Unstructured // nil: not there
	Diff   string                     // for people; whole in dry runs, afterwards of the first few and bounded

	after *unstructured.Unstructured // as the server's dry run gave it; nil: not tried
	owner error                      // *OwnedError: it is another service's, and not touched
	newly bool                       // it is adopted by this very plan
}

// sent says whether the object is sent to the API server.
func (c Change) sent() bool {
	return c.owner == nil && (c.Verb == Create || c.Verb == Update || c.Verb == Recreate)
}

// recreatable says whether the object may be deleted and created again where
// it cannot be changed in place: by its own annotation, or, on the way back, by
// that of the one that is there.
func (c Change) recreatable(why *cluster.ImmutableError) bool {
	allows := func(u *unstructured.Unstructured) bool {
		return u != nil && u.GetAnnotations()[cluster.RecreateAnnotation] == "true"
	}
	return c.Live != nil && !kept(c.Object) && len(why.Also) == 0 && (allows(c.Wanted) || allows(c.Live))
}

// Compare holds the wanted objects against what the cluster has. An object is
// unchanged if it is what the last release applied and nobody has touched it
// since; what earlier releases brought and is not wanted any more is removed.
// It costs one request for each kind of object, and up to two more for each
// kind of which something is not there, or is not ours.
func (s *Session) Compare(ctx context.Context, wanted []*unstructured.Unstructured) ([]Change, error) {
	live, _ := s.History.Live()
	changes, err := s.compareTo(ctx, live, wanted)
	if err != nil {
		return nil, &Refusal{Reason: "read what is live", Err: err}
	}
	return changes, nil
}

// compareTo compares with what base applied.
func (s *Session) compareTo(ctx context.Context, base release.Record, wanted []*unstructured.Unstructured) ([]Change, error) {
	known := s.known()
	live, err := s.Cluster.Live(ctx, s.Namespace, s.labels(), kinds(wanted, known))
	if err != nil {
		return nil, err
	}
	var others []release.Object
	for _, u := range wanted {
		if o := release.Describe(u); live[o.Key()] == nil {
			others = append(others, o)
		}
	}
	found, requests, err := s.Cluster.Find(ctx, others)
	if err != nil {
		return nil, err
	}
	s.looked = requests
	maps.Copy(live, found)
	s.veil.Cover(slices.AppendSeq(slices.Clone(wanted), maps.Values(live))...)
	changes := compare(wanted, base.Objects, known, live, s.needed())
	for i, c := range changes {
		changes[i].owner = s.owner(c)
	}
	return changes, nil
}

// compare is pure. base is what the live release applied, known whatever the
// releases since the last good one brought, the newest first, live what the
// cluster holds with our labels, and of what is wanted also the rest;
// configuration that a kept release needs is not removed.
func compare(wanted []*unstructured.Unstructured, base, known []release.Object, live map[string]*unstructured.Unstructured, needed map[string]bool) []Change {
	before := make(map[string]release.Object, len(base))
	for _, o := range base {
		before[o.Key()] = o
	}
	latest := make(map[string]release.Object, len(known))
	for _, o := range known {
		if _, newer := latest[o.Key()]; !newer {
			latest[o.Key()] = o
		}
	}
	want := make(map[string]bool, len(wanted))
	var changes []Change
	for _, u := range wanted {
		o := release.Describe(u)
		want[o.Key()] = true
		c := Change{Object: o, Wanted: u, Live: live[o.Key()]}
		was, had := before[o.Key()]
		last, did := latest[o.Key()]
		c.Object.Adopted = adopted(c.Live, last, did)
		c.newly = c.Object.Adopted && !last.Adopted
		switch {
		case c.Live == nil:
			c.Verb = Create
		case c.Live.GetDeletionTimestamp() != nil: // what is applied to it goes with it
			c.Verb = Recreate
		case had && was.Applied() == o.Hash && labelled(c.Live) && untouched(was, c.Live):
			c.Verb = Same
			c.Object.UID, c.Object.Seen = was.UID, was.Seen
		default:
			c.Verb = Update
		}
		changes = append(changes, c)
	}
	gone := make(map[string]bool)
	for i := len(known) - 1; i >= 0; i-- { // what was applied last goes first
		o := known[i]
		key := o.Key()
		if want[key] || needed[key] || gone[key] || live[key] == nil {
			continue
		}
		gone[key] = true
		o.Adopted = latest[key].Adopted
		verb := Remove
		if kept(o) {
			verb = Leave
		}
		changes = append(changes, Change{Verb: verb, Object: o, Live: live[key]})
	}
	return changes
}

// untouched says whether the live object is still as it was after it was applied.
func untouched(was release.Object, live *unstructured.Unstructured) bool {
	return was.UID != "" && was.UID == string(live.GetUID()) && was.Seen == cluster.Seen(live)
}

// known is every object that the releases from the last good one on brought:
// all that may be in the cluster and be ours. The newest release's come first.
func (s *Session) known() []release.Object {
	good, _ := s.History.Good()
	var known []release.Object
	for _, r := range s.History {
		if r.Revision >= good.Revision {
			known = append(known, r.Objects...)
		}
	}
	return known
}

// needed is the versioned configuration of all releases that can be restored,
// and of the one live: it may have failed and been kept.
func (s *Session) needed() map[string]bool {
	needed := make(map[string]bool)
	live, _ := s.History.Live()
	for _, r := range s.History {
		if r.Status != release.Succeeded && r.Revision != live.Revision {
			continue
		}
		for _, o := range r.Objects {
			if o.Versioned {
				needed[o.Key()] = true
			}
		}
	}
	return needed
}

// kinds is the kinds of all objects, each once.
func kinds(wanted []*unstructured.Unstructured, known []release.Object) []schema.GroupVersionKind {
	var all []schema.GroupVersionKind
	seen := make(map[schema.GroupKind]bool)
	add := func(gvk schema.GroupVersionKind) {
		if !seen[gvk.GroupKind()] {
			seen[gvk.GroupKind()] = true
			all = append(all, gvk)
		}
	}
	for _, u := range wanted {
		add(u.GroupVersionKind())
	}
	for _, o := range known {
		add(schema.FromAPIVersionAndKind(o.APIVersion, o.Kind))
	}
	return all
}

// same says whether a plan changes nothing: no object, not the image, and not
// the Job that goes before.
func (s *Session) same(r release.Record, changes []Change) bool {
	live, ok := s.History.Live()
	if !ok || live.Status != release.Succeeded || live.Image != r.Image || live.Before != r.Before && r.Before != "" {
		return false
	}
	for _, c := range changes {
		if c.Verb != Same {
			return false
		}
	}
	return true
}

// Diff fills in, for people, what would change in each object.
func (s *Session) Diff(ctx context.Context, changes []Change) error {
	for i, c := range changes {
		if !c.sent() {
			continue
		}
		after := c.after
		if after == nil { // not tried
			after = c.Wanted
		}
		changes[i].Diff = cluster.Diff(c.Live, after)
	}
	return ctx.Err()
}

// Count tells the changes in words: "2 to create, 1 to update, 0 to remove, 5 unchanged".
func Count(changes []Change) string {
	n := make(map[Verb]int)
	for _, c := range changes {
		n[c.Verb]++
	}
	text := fmt.Sprintf("%d to create, %d to update, %d to remove, %d unchanged", n[Create], n[Update], n[Remove], n[Same])
	if n[Recreate] > 0 {
		text += fmt.Sprintf(", %d to delete and create again", n[Recreate])
	}
	if n[Leave] > 0 {
		text += fmt.Sprintf(", %d to leave as they were there before", n[Leave])
	}
	return text
}
