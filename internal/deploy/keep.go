package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
)

// StepDivert is the step of a rollback in which traffic goes to a version that
// was kept warm, before anything else is restored.
const StepDivert = "divert"

// relay is what a rollback to a warm version may need its pods for: until the
// restored ones serve, or it is taken back because they do not.
func relay(timeout time.Duration) time.Duration { return timeout + time.Minute }

// KeepWarm keeps the live version running, without traffic, beside the one
// that is about to take over: for at least keep after more, the time that the
// takeover itself may need. The cluster ends it by itself.
func (a *Attempt) KeepWarm(ctx context.Context, keep, more time.Duration) error {
	if keep <= 0 || a.base.Revision == 0 {
		return nil
	}
	objects, err := a.store.Objects(ctx, a.base)
	if err != nil {
		return err
	}
	id := fmt.Sprintf("warm-%d", a.base.Revision)
	warm, err := traffic.NewWarm(ctx, a.Cluster, objects, a.labels(), id, keep+more)
	if err != nil {
		return err
	}
	a.Record.Warm = &release.Warm{Revision: a.base.Revision, ID: id, Until: time.Now().UTC().Add(keep + more), Objects: warm.Objects()}
	if err := a.save(ctx); err != nil {
		return err
	}
	a.Log.Linef("release %d is kept warm for %v", a.base.Revision, keep)
	return warm.Start(ctx)
}

// warm is the release to be restored, as the live one left it warm; nil where
// it did not, or the time is over.
func (s *Session) warm(found release.Record) *release.Warm {
	live, _ := s.History.Live()
	if w := live.Warm; w != nil && w.Revision == found.Revision && time.Now().Before(w.Until) {
		return w
	}
	return nil
}

// divert gives all traffic to the warm version at once, which is made to last
// until it is needed no more: with its end all traffic would be nowhere. Where
// that cannot be, or its pods are not all ready, the rollback goes its usual way.
func (a *Attempt) divert(ctx context.Context, w *release.Warm) error {
	var services []int
	objects := a.wanted()
	err := traffic.Ready(ctx, a.Cluster, a.Namespace, w.ID, objects)
	if err == nil {
		err = traffic.Prolong(ctx, a.Cluster, a.Namespace, w.ID, relay(a.Timeout))
	}
	if err != nil {
		a.Log.Linef("release %d is restored the usual way: %v", w.Revision, err)
		return ctx.Err()
	}
	if err := a.Step(ctx, StepDivert); err != nil {
		return err
	}
	if err := traffic.Divert(ctx, a.Cluster, objects, w.ID); err != nil {
		return err
	}
	a.Log.Linef("all traffic is on release %d, which was kept warm", w.Revision)
	for i, c := range a.changes {
		if isService(c) && c.Wanted != nil && c.owner == nil {
			services = append(services, i)
		}
	}
	// All but the Services first; these lead back once the restored pods serve.
	if err := a.send(ctx, func(c Change) bool { return !isService(c) }); err != nil {
		return err
	}
	if err := a.Serve(ctx); err != nil {
		return err
	}
	for _, i := range services {
		a.changes[i].Verb = Update
	}
	return nil
}

func isService(c Change) bool { return c.Object.Kind == "Service" && c.Object.APIVersion == "v1" }

// coolDown removes what the release before still keeps warm: with a new release
// live, that is not the previous one any more. What older releases kept, their
// successors have removed.
func (a *Attempt) coolDown(ctx context.Context) error {
	if a.base.Warm == nil || time.Now().After(a.base.Warm.Until.Add(relay(a.Timeout))) {
		return nil
	}
	return a.remove(ctx, a.base.Warm.Objects)
}

// removeWarm takes away what an attempt that failed had begun to keep warm.
func (a *Attempt) removeWarm(ctx context.Context) error {
	if a.Record.Warm == nil {
		return nil
	}
	if err := a.remove(ctx, a.Record.Warm.Objects); err != nil {
		return err
	}
	a.Record.Warm = nil
	return nil
}
