package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

// grace is how long an undo may take after a cancel: the runner kills in 7.5 s.
const grace = 5 * time.Second

// Undone is the error of a release that failed and was taken back.
type Undone struct {
	Revision int
	Base     int // what serves again; 0: nothing was there before
	Cause    error
}

func (u *Undone) Error() string {
	if u.Base == 0 {
		return fmt.Sprintf("%v; release %d was removed again: there was none before it", u.Cause, u.Revision)
	}
	return fmt.Sprintf("%v; release %d was undone: release %d serves", u.Cause, u.Revision, u.Base)
}

func (u *Undone) Unwrap() error { return u.Cause }

// Next is the next step to take, where the cause names none.
func (u *Undone) Next() string {
	var next interface{ Next() string }
	if errors.As(u.Cause, &next) && next.Next() != "" {
		return next.Next()
	}
	return "correct what the release failed of and deploy again"
}

// Kept is the error of a release that failed and was not taken back, because
// a barrier lies between it and the one before.
type Kept struct {
	Revision int
	Barrier  int // the release that is the barrier
	Base     int // what an undo would have returned to
	Cause    error
}

func (k *Kept) Error() string {
	return fmt.Sprintf("%v; release %d was not undone: release %d is a barrier, and release %d lies before it", k.Cause, k.Revision, k.Barrier, k.Base)
}

// Next is the next step to take.
func (k *Kept) Next() string { return "deploy a fix: the way back is barred" }

func (k *Kept) Unwrap() error { return k.Cause }

// Stranded is the error of an undo that stopped half way: what it returned to
// does not serve, and what stands beside does, so that this stays, with its
// traffic. The next session goes on with the undo.
type Stranded struct {
	Revision int
	Base     int    // what was applied again
	Beside   string // what serves in its place
	Cause    error  // why the base does not serve
}

func (s *Stranded) Error() string {
	return fmt.Sprintf("release %d was applied again but does not serve, so %s, which does, stays beside it with its traffic: %v", s.Base, s.Beside, s.Cause)
}

// Next is the next step to take.
func (s *Stranded) Next() string {
	return fmt.Sprintf("mend what keeps release %d from serving, then run any action again, which goes on with the undo; or give up %s by deleting it", s.Base, s.Beside)
}

func (s *Stranded) Unwrap() error { return s.Cause }

// Fail ends an attempt that failed with cause: it is undone, or, with keep,
// left as it is. What it returns names the cause and how things stand now. The
// undo outlives a cancel, and is then bounded so that the runner does not kill
// it; what it does not get done the next session does.
func (a *Attempt) Fail(ctx context.Context, cause error, keep bool) error {
	if !errors.As(cause, new(*Unfinished)) {
		cause = Because(ctx, cause)
	}
	cause = a.Clean(cause)
	a.failed(cause)
	a.Record.Failure = firstLine(cause)
	if a.ousted() {
		return fmt.Errorf("%w; whoever holds the lock now has ended release %d or will", cause, a.Record.Revision)
	}
	if errors.As(cause, new(*Unfinished)) {
		return cause
	}
	cancelled := ctx.Err() != nil
	hurry := cancelled && !byItself(ctx)
	limit := a.Timeout + time.Minute // the base may take all of Timeout until it serves, or does not
	if hurry {
		limit = grace
		a.Log.Linef("cancelled: returning to what was there before")
	}
	undoCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if barrier, ok := a.barrier(); ok {
		kept := &Kept{Revision: a.Record.Revision, Barrier: barrier.Revision, Base: a.base.Revision, Cause: cause}
		return errors.Join(kept, a.keep(undoCtx))
	}
	if keep && !cancelled {
		return errors.Join(cause, a.keep(undoCtx))
	}
	if err := a.undo(undoCtx, !hurry); err != nil {
		return errors.Join(cause, fmt.Errorf("undo release %d: %w; the next run of any action ends it", a.Record.Revision, err))
	}
	return &Undone{Revision: a.Record.Revision, Base: a.base.Revision, Cause: cause}
}

// keep ends a release that failed and stays where it is.
func (a *Attempt) keep(ctx context.Context) error {
	if err := a.stay(ctx); err != nil {
		return err
	}
	return a.end(ctx, release.Failed)
}

// barrier is the release that an undo would go behind. Where nothing of the
// live release was touched yet, or there is none, nothing is gone behind: it
// stays where it is. Nor is a barrier in the way that the base has served with.
func (a *Attempt) barrier() (release.Record, bool) {
	if a.base.Revision == 0 || a.untouched() {
		return release.Record{}, false
	}
	for _, r := range a.History.Between(a.base.Revision, a.Record.Revision) {
		if r.Barrier && r.Status != release.RolledBack {
			return r, true
		}
	}
	return release.Record{}, false
}

// untouched says that nothing of the live release was changed yet.
func (a *Attempt) untouched() bool {
	return a.Record.Step == StepBegin || a.Record.Step == StepBefore || strings.HasPrefix(a.Record.Step, StepCanary) ||
		strings.HasPrefix(a.Record.Step, StepGreen)
}

// undo returns to exactly the objects of the base. With wait it makes sure
// that they serve before anything else goes, so that capacity never dips.
func (a *Attempt) undo(ctx context.Context, wait bool) error {
	onlyBeside := a.untouched()
	if !onlyBeside {
		a.Record.TookBack = true
		if err := a.Step(ctx, StepUndo); err != nil {
			return err
		}
	}
	to := a.base
	if onlyBeside { // what is live stays, be it a release that failed and was kept
		to, _ = a.History.Live()
	}
	changes, err := a.back(ctx, to)
	if err != nil {
		return err
	}
	serves := false
	if !onlyBeside {
		if err := a.restore(ctx, &to, changes, func(c Change) bool { _, route := a.steers(c); return !route }); err != nil {
			return err
		}
		if wait && len(to.Objects) > 0 {
			err := a.serve(ctx, to.Objects)
			if serves = err == nil; !serves {
				if beside, ok := a.standsBeside(ctx); ok {
					return &Stranded{Revision: a.Record.Revision, Base: to.Revision, Beside: beside, Cause: err}
				}
				a.Log.Linef("release %d was applied again but does not serve: %v", to.Revision, err)
			}
		}
	}
	if err := a.leadBack(ctx, &to, changes, onlyBeside, serves, wait); err != nil {
		return err
	}
	if err := a.removeWarm(ctx); err != nil {
		return err
	}
	if err := a.removeChanged(ctx, changes); err != nil {
		return err
	}
	if err := a.leave(ctx, changes, true); err != nil {
		return err
	}
	if err := a.end(ctx, release.RolledBack); err != nil {
		return err
	}
	if err := a.sweep(ctx); err != nil {
		a.Log.Linef("configuration of release %d was not swept, the next run does it: %v", a.Record.Revision, err)
	}
	return nil
}

// standsBeside names a workload beside the release that has pods which take
// requests.
func (a *Attempt) standsBeside(ctx context.Context) (string, bool) {
	beside := Workloads(a.Record.Beside)
	judgements, err := rollout.Look(ctx, a.Cluster, beside)
	if err != nil {
		return "", false
	}
	for i, j := range judgements {
		if j.Ready > 0 {
			return beside[i].String(), true
		}
	}
	return "", false
}

// back is the way from what is there to an earlier release's objects; none, if
// that is zero.
func (a *Attempt) back(ctx context.Context, to release.Record) ([]Change, error) {
	var objects []*unstructured.Unstructured
	if to.Revision > 0 {
		var err error
		if objects, err = a.objects(ctx, to); err != nil {
			return nil, err
		}
	}
	changes, err := a.compareTo(ctx, to, objects)
	for _, c := range changes {
		if c.owner != nil {
			a.Log.Linef("not restored: %v", c.owner)
		}
	}
	return changes, err
}

// restore applies the objects of an earlier release. A field that somebody else
// took in the meantime is taken back, and named, but for a size that was raised.
func (a *Attempt) restore(ctx context.Context, to *release.Record, changes []Change, which func(Change) bool) error {
	scaled, err := a.autoscaled(ctx)
	if err != nil {
		return err
	}
	renewed := false
	for i, c := range changes {
		if !c.sent() || !which(c) {
			continue
		}
		u := notSmaller(scaled.keep(c), c.Live)
		live, err := a.put(ctx, c, u, options(c.Wanted))
		if conflict := (*cluster.ConflictError)(nil); errors.As(err, &conflict) {
			a.Log.Linef("taking fields back: %v", conflict)
			live, err = a.Cluster.Apply(ctx, u, cluster.ApplyOptions{Force: true})
		}
		if err != nil {
			return fmt.Errorf("apply %s: %w", c.Object, err)
		}
		seen := &to.Objects[i]
		seen.Adopted = c.Object.Adopted
		seen.UID, seen.Seen = string(live.GetUID()), cluster.Seen(live)
		renewed = true
		a.Log.Linef("restored %s", c.Object)
	}
	if !renewed {
		return nil
	}
	if err := a.store.Update(ctx, to); err != nil {
		return err
	}
	a.replace(*to)
	return nil
}

// firstLine is an error as a sentence for a record.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	const most = 500
	if r := []rune(line); len(r) > most {
		line = string(r[:most]) + " …"
	}
	return line
}
