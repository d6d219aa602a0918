package deploy

import (
	"context"
	"fmt"

	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/release"
)

// settle removes the Jobs that dead runners left, which may be at work still,
// and ends every release that a dead runner left under way: forwards where
// all had passed, else back to the release before. We hold the lock, so
// whoever began them cannot write any more.
func (s *Session) settle(ctx context.Context) error {
	sweepCtx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := jobs.Sweep(sweepCtx, s.Cluster, s.Namespace, s.labels(), s.Log); err != nil {
		return fmt.Errorf("settle what a run that died left: %w", err)
	}
	ended, _ := s.History.Ended()
	for _, r := range s.History.Underway() {
		if err := s.settleOne(ctx, r); err != nil {
			return fmt.Errorf("settle release %d, which a run that died left at step %q: %w", r.Revision, r.Step, err)
		}
		s.settleOthers(ctx, r.Group, func(string) bool { return true })
	}
	// A run may also have died when ours had ended and the others had not.
	s.settleOthers(ctx, ended.Group, func(service string) bool { return s.left(ctx, service, ended) })
	return nil
}

func (s *Session) settleOne(ctx context.Context, r release.Record) error {
	a := &Attempt{Session: s, Record: r}
	a.base, _ = s.History.Revision(r.Base)
	a.Log.Linef("release %d was left at step %q by a run that died (%s)", r.Revision, r.Step, r.Run)
	forwards := ramping(r.Step)
	decided, err := s.decided(ctx, r)
	if err != nil {
		return err
	}
	if forwards || decided {
		objects, err := s.store.Objects(ctx, r)
		if err != nil {
			return err
		}
		if a.changes, err = s.compareTo(ctx, r, objects); err != nil {
			return err
		}
		if forwards {
			return a.settleRamp(ctx)
		}
		if err := a.Finish(ctx); err != nil {
			return err
		}
		s.previous = r.Restored > 0
		return nil
	}
	if a.Record.Failure == "" {
		a.Record.Failure = fmt.Sprintf("the run died at step %q", r.Step)
	}
	if barrier, ok := a.barrier(); ok {
		a.Log.Linef("it is not taken back: release %d is a barrier, and release %d lies before it", barrier.Revision, r.Base)
		return a.keep(ctx)
	}
	if err := a.undo(ctx, true); err != nil {
		return err
	}
	s.previous = r.Restored == 0
	a.Log.Linef("settled: release %d serves", r.Base)
	return nil
}
