package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// errLate is why a group's commit is given up.
var errLate = errors.New("the locks of all that are promoted together may have expired meanwhile")

// Commit records that all has passed: from here on the way leads forwards only.
// Finish does it for whoever has not. It comes to pass before until or never:
// the lock of this release alone would let it come later, when another one has
// taken back a member that it was promoted with.
func (a *Attempt) Commit(ctx context.Context, until time.Time) error {
	until = until.Add(-saved)
	if !time.Now().Before(until) {
		return errLate
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until, errLate)
	defer cancel()
	return a.Step(ctx, StepFinish)
}

// Held is until when the lock is surely still ours, or an error.
func (a *Attempt) Held(ctx context.Context) (until time.Time, err error) { return a.lock.Until(ctx) }

// decided says whether a release that a dead run left had passed together with
// all that it was promoted with: its group's leader knows. A leader whose
// record is not there any more has decided nothing that could be known.
func (s *Session) decided(ctx context.Context, r release.Record) (bool, error) {
	if r.Step == StepFinish || r.Group == nil || r.Group.Leader() == s.Service {
		return r.Step == StepFinish, nil
	}
	leader := r.Group.Leader()
	h, err := history.Open(s.Cluster, leader, s.Environment, s.Namespace).List(ctx)
	if err != nil {
		return false, fmt.Errorf("read the history of %s, which it was promoted with: %w", leader, err)
	}
	first, ok := h.Revision(r.Group.Revision)
	return ok && (first.Status == release.Succeeded || first.Status == release.Underway && first.Step == StepFinish), nil
}

// othersWithin bounds the wait for the lock of a service that was promoted
// together with ours: that of a dead run expires before.
const othersWithin = 45 * time.Second

// settleOthers ends what a dead run left of the services that it promoted
// together with ours, all at the same time. Whoever holds the lock of one does
// it for that one.
func (s *Session) settleOthers(ctx context.Context, g *release.Group, which func(service string) bool) {
	if g == nil || s.alone {
		return
	}
	var wait sync.WaitGroup
	for _, service := range g.Services {
		if service == s.Service || !which(service) {
			continue
		}
		t := s.Target
		t.Service, t.Timeout, t.alone = service, min(t.Timeout, othersWithin), true
		t.why = nil // who works on it is asked for nothing
		t.Log = progress.Named(s.Log, service)
		wait.Go(func() {
			other, err := Open(ctx, t)
			if err != nil {
				s.Log.Linef("%s, which was promoted together with %s, is settled by its own next run: %v", service, s.Service, err)
				return
			}
			other.Close(ctx)
		})
	}
	wait.Wait()
}

// left says whether a service has a release under way that was promoted
// together with ours, which has ended. It costs one request.
func (s *Session) left(ctx context.Context, service string, ours release.Record) bool {
	h, err := history.Open(s.Cluster, service, s.Environment, s.Namespace).List(ctx)
	if err != nil {
		s.Log.Linef("whether %s, which was promoted together with %s, is settled is not known: %v", service, s.Service, err)
		return false
	}
	return slices.ContainsFunc(h.Underway(), func(r release.Record) bool {
		return r.Group != nil && r.Group.Leader() == ours.Group.Leader() && r.Group.Led(r) == ours.Group.Led(ours)
	})
}
