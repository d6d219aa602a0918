package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
)

// The steps of an attempt, each recorded before it is taken. What an undo has
// to do follows from the last one recorded.
const (
	StepBegin  = "begin"
	StepBefore = "before" // its Job runs; nothing of the live release was touched yet
	StepCanary = "canary" // followed by the weight; nothing of the live release was touched yet
	StepGreen  = "green"  // followed by what is done with the version beside; nothing of the live release was touched yet
	StepApply  = "apply"
	StepServe  = "serve"
	StepCheck  = "check"
	StepWatch  = "watch"
	StepFinish = "finish" // all passed: what is left is done forwards
	StepUndo   = "undo"
)

// Attempt is a release on its way: recorded as under way until Finish or Fail
// ends it, or, after a kill, the next session.
type Attempt struct {
	*Session
	Record  release.Record
	base    release.Record // what an undo returns to; zero: nothing was there
	changes []Change
}

// Begin records the release before anything of it is applied.
func (s *Session) Begin(ctx context.Context, p Plan, changes []Change) (*Attempt, error) {
	r := p.record()
	base, _ := s.History.Good()
	r.Format, r.Status, r.Step = release.Format, release.Underway, StepBegin
	r.Service, r.Environment, r.Namespace = s.Service, s.Environment, s.Namespace
	r.Base, r.Started = base.Revision, time.Now().UTC()
	r.Objects = wantedObjects(changes)
	if err := s.store.Begin(ctx, &r, p.Objects); err != nil {
		return nil, fmt.Errorf("record release of %s: %w", s.Service, err)
	}
	s.History = append(release.History{r}, s.History...)
	s.Log.Linef("release %d of %s: %s", r.Revision, s.Service, Count(changes))
	if s.Announcer != nil {
		r.Deployment = s.Announcer.Begun(ctx, r) // recorded with the first step
	}
	return &Attempt{Session: s, Record: r, base: base, changes: slices.Clone(changes)}, nil // ours say what is still to be done
}

func wantedObjects(changes []Change) []release.Object {
	var objects []release.Object
	for _, c := range changes {
		if c.Wanted != nil {
			objects = append(objects, c.Object)
		}
	}
	return objects
}

// wanted is the release's objects, in order.
func (a *Attempt) wanted() []*unstructured.Unstructured { return wantedOf(a.changes) }

func wantedOf(changes []Change) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, c := range changes {
		if c.Wanted != nil {
			objects = append(objects, c.Wanted)
		}
	}
	return objects
}

// Step records that the named step is about to be taken, with all that the
// record holds by now.
func (a *Attempt) Step(ctx context.Context, step string) error {
	a.Record.Step = step
	return a.save(ctx)
}

// Beside records what is about to be put beside the release, so that it is
// removed whatever happens. What others have under such a name is refused.
func (a *Attempt) Beside(ctx context.Context, step string, objects []release.Object) error {
	found, _, err := a.Cluster.Find(ctx, objects)
	if err != nil {
		return fmt.Errorf("look for what stands beside: %w", err)
	}
	for _, o := range objects {
		if u := found[o.Key()]; u != nil && !a.ours(u) {
			return fmt.Errorf("%s is there already, made by others, and would be removed in the end: give it another name", o)
		}
	}
	a.Record.Beside = objects
	return a.Step(ctx, step)
}

// saved is how long the writing of a record outlives a cancel.
const saved = time.Second

// save outlives a cancel by a moment: a write whose answer is not waited for
// leaves a record that no undo can go on from.
func (a *Attempt) save(ctx context.Context) error {
	ctx, stop := outlive(ctx, saved)
	defer stop()
	a.Record.Checks = a.cleanChecks(a.Record.Checks)
	if err := a.store.Update(ctx, &a.Record); err != nil {
		return fmt.Errorf("record step %q of release %d: %w", a.Record.Step, a.Record.Revision, err)
	}
	a.replace(a.Record)
	return nil
}

// Certain says that what the cluster has recorded of the attempt is what the
// attempt knows. After a write that failed it may be either.
func (a *Attempt) Certain() bool {
	r, _ := a.History.Revision(a.Record.Revision)
	return r.Step == a.Record.Step
}

// replace puts a changed record into the session's history.
func (s *Session) replace(r release.Record) {
	for i := range s.History {
		if s.History[i].Revision == r.Revision {
			s.History[i] = r
		}
	}
}

// Apply sends what differs, in order. A route that steers traffic has its time
// later (Home), as have Services while no request comes by them; Services that
// requests come by select both versions from now on.
func (a *Attempt) Apply(ctx context.Context) error {
	if err := a.Step(ctx, StepApply); err != nil {
		return err
	}
	a.unsteered(a.changes)
	away := a.Record.Steered.Away()
	return a.send(ctx, func(c Change) bool {
		service, route := a.steers(c)
		return !route && (!service || !away)
	})
}

// ApplyNew sends only what the live release does not know, and so cannot be
// disturbed by: what a canary needs before it starts, its configuration and its
// Service.
func (a *Attempt) ApplyNew(ctx context.Context) error {
	return a.send(ctx, func(c Change) bool {
		kind := c.Object.GroupKind()
		configuration := kind.Group == "" && (kind.Kind == "ConfigMap" || kind.Kind == "Secret" || kind.Kind == "ServiceAccount")
		return configuration && c.Verb == Create || isService(c) && traffic.ForBeside(c.Wanted)
	})
}

func (a *Attempt) send(ctx context.Context, which func(Change) bool) error {
	scaled, err := a.autoscaled(ctx)
	if err != nil {
		return err
	}
	for i, c := range a.changes {
		if !c.sent() || !which(c) {
			continue
		}
		c, err := a.sized(ctx, c, scaled)
		if err != nil {
			return fmt.Errorf("apply %s: %w", c.Object, err)
		}
		u, o := scaled.keep(c), options(c.Wanted)
		if a.Record.Restored > 0 {
			u, o.Force = notSmaller(u, c.Live), true
		}
		live, err := a.put(ctx, c, u, o)
		if err != nil {
			return fmt.Errorf("apply %s: %w", c.Object, err)
		}
		seen := &a.Record.Objects[i] // wanted objects stand first, in the same order
		seen.UID, seen.Seen = string(live.GetUID()), cluster.Seen(live)
		a.changes[i].Verb, a.changes[i].Live = Same, live
		a.Log.Linef("%sd %s", c.Verb, c.Object)
	}
	return nil
}

func options(u *unstructured.Unstructured) cluster.ApplyOptions {
	return cluster.ApplyOptions{Force: u.GetAnnotations()[cluster.ForceAnnotation] == "true"}
}

// RemoveBeside takes away what stood beside the release on its way.
func (a *Attempt) RemoveBeside(ctx context.Context) error { return a.removeBeside(ctx, true) }

// removeBeside, with wait, returns once every pod of it is told to end: the
// collector of the cluster comes a moment after the Deployment went.
func (a *Attempt) removeBeside(ctx context.Context, wait bool) error {
	var gone []*unstructured.Unstructured
	for _, o := range a.Record.Beside {
		u, err := a.Cluster.Get(ctx, o)
		if err != nil {
			return fmt.Errorf("read %s: %w", o, err)
		}
		if u != nil && wait {
			gone = append(gone, u)
		}
	}
	if err := a.remove(ctx, a.Record.Beside); err != nil {
		return err
	}
	for _, u := range gone {
		if err := a.ending(ctx, u); err != nil {
			return err
		}
	}
	a.Record.Beside = nil
	return nil
}

// Finish ends an attempt that passed: what is not wanted any more goes, and
// the record says succeeded. Once that is begun the way leads forwards only: to
// go back on a cancel would take down what serves before the rest is up again.
func (a *Attempt) Finish(ctx context.Context) error {
	if err := a.Pass(ctx); err != nil {
		return err
	}
	if err := a.Step(ctx, StepFinish); err != nil {
		return err
	}
	longer, stop := outlive(ctx, grace)
	defer stop()
	if err := a.finish(longer); err != nil {
		if ctx.Err() != nil {
			return &Unfinished{Revision: a.Record.Revision, Cause: errors.Join(context.Cause(ctx), err)}
		}
		return err
	}
	a.Log.Linef("release %d of %s is live", a.Record.Revision, a.Service)
	if err := a.tidy(longer); err != nil {
		a.Log.Linef("old releases were not swept, the next run does it: %v", err)
	}
	return nil
}

// Unfinished is the error of a release that passed and was cancelled in its
// last step: the next run of any action completes it.
type Unfinished struct {
	Revision int
	Cause    error
}

func (u *Unfinished) Error() string {
	return fmt.Sprintf("%v; release %d passed and serves, the next run of any action completes it", u.Cause, u.Revision)
}

func (u *Unfinished) Unwrap() error { return u.Cause }

func (a *Attempt) finish(ctx context.Context) error {
	if err := a.RemoveBeside(ctx); err != nil {
		return err
	}
	if err := a.removeChanged(ctx, a.changes); err != nil {
		return err
	}
	if err := a.leave(ctx, a.changes, false); err != nil {
		return err
	}
	if err := a.coolDown(ctx); err != nil {
		return err
	}
	a.Record.Weight = 100
	return a.end(ctx, release.Succeeded)
}

// end records how the release ended, and tells it.
func (a *Attempt) end(ctx context.Context, s release.Status) error {
	a.Record.Status, a.Record.Ended = s, time.Now().UTC()
	if err := a.save(ctx); err != nil {
		return err
	}
	if a.Announcer != nil {
		a.Announcer.Ended(ctx, a.Record)
	}
	return nil
}

// outlive is ctx, and for a while longer once that is cancelled.
func outlive(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(while, func() { cancel(context.Cause(ctx)) })
	})
	return longer, func() {
		stop()
		cancel(context.Canceled)
	}
}

// tidy drops the oldest records and the configuration that no kept release needs.
func (a *Attempt) tidy(ctx context.Context) error {
	dropped, err := a.store.Prune(ctx, Keep)
	if err != nil {
		return err
	}
	gone := make(map[int]bool)
	for _, r := range dropped {
		gone[r.Revision] = true
	}
	var kept release.History
	for _, r := range a.History {
		if !gone[r.Revision] {
			kept = append(kept, r)
		}
	}
	a.History = kept
	return a.sweep(ctx)
}

// sweep removes versioned configuration that no release needs which can be
// restored. It looks at the cluster, not at what this run did, so that it also
// finds what a killed run left.
func (s *Session) sweep(ctx context.Context) error {
	labels := s.labels()
	labels[release.VersionedLabel] = "true"
	live, err := s.Cluster.Live(ctx, s.Namespace, labels, []schema.GroupVersionKind{
		{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"},
	})
	if err != nil {
		return err
	}
	needed := s.needed()
	var errs []error
	for key, u := range live {
		if !needed[key] {
			o := release.Describe(u)
			o.UID = string(u.GetUID())
			errs = append(errs, s.Cluster.Delete(ctx, o, false))
		}
	}
	return errors.Join(errs...)
}

// leftovers sweeps where nothing else is to be done: a run may have died in its
// very last requests, with its release ended already.
func (s *Session) leftovers(ctx context.Context) {
	if s.lock == nil { // it only looks
		return
	}
	if err := s.sweep(ctx); err != nil {
		s.Log.Linef("configuration that no release needs was not swept, the next run does it: %v", err)
	}
}

func (s *Session) removeChanged(ctx context.Context, changes []Change) error {
	var objects []release.Object
	for _, c := range changes {
		if c.Verb == Remove {
			o := c.Object
			o.UID = string(c.Live.GetUID())
			objects = append(objects, o)
		}
	}
	return s.remove(ctx, objects)
}

func (s *Session) remove(ctx context.Context, objects []release.Object) error {
	for _, o := range objects {
		if err := s.Cluster.Delete(ctx, o, false); err != nil {
			return fmt.Errorf("remove %s: %w", o, err)
		}
		s.Log.Linef("removed %s", o)
	}
	return nil
}

// Result completes what is told of the attempt.
func (a *Attempt) Result(r Result) Result {
	r.Record, r.Status, r.Checks = a.Record, a.Record.Status, a.Record.Checks
	r.Weight, r.History = a.Record.Weight, a.History
	r.Changes = a.differences(r.Changes)
	if r.Status == release.Underway { // it could not be ended here: the next run will
		r.Status = release.Failed
	}
	return r
}

// lost says whether the lock went to somebody else: then nothing may be
// written any more, not even an undo.
func lost(err error) bool { return errors.Is(err, history.ErrLost) }
