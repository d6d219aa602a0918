package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/release"
)

// Member is one of the services that are promoted together.
type Member struct {
	Target deploy.Target
	Plan   Plan
}

// Together promotes services that belong together: each walks its own way, and
// none goes a step further before all may. When one fails, all return. The
// results are in the members' order; the error tells of all that failed.
//
// The first member leads: the group has passed at the moment in which its
// record says so. A kill before that is settled back for all, one after it
// forwards.
func Together(ctx context.Context, members []Member) ([]Result, error) {
	t := &together{members: members, results: make([]Result, len(members))}
	defer t.close(ctx)
	ctx, err := t.open(ctx)
	if err == nil {
		err = t.walk(ctx)
	}
	return t.results, deploy.Because(ctx, err)
}

// together is members on their way.
type together struct {
	members  []Member
	sessions []*deploy.Session // in the members' order; nil: not open
	results  []Result
	stops    []context.CancelFunc
	walks    []*walk // nil where a member has nothing to change
}

// open takes the locks, always in the same order so that no two groups wait for
// each other, and prepares all before anything of one is begun. The context ends
// for all when one has lost its lock, or a rollback asks for its environment.
func (t *together) open(ctx context.Context) (context.Context, error) {
	t.sessions = make([]*deploy.Session, len(t.members))
	t.walks = make([]*walk, len(t.members))
	order := make([]int, len(t.members))
	for i := range order {
		order[i] = i
		t.results[i].Status = release.Refused
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(t.members[a].Target.Service, t.members[b].Target.Service) })
	for _, i := range order {
		m := t.members[i]
		s, err := deploy.Open(ctx, m.Target, m.Plan.needs(m.Target.Namespace)...)
		if err != nil {
			return ctx, of(m, err)
		}
		t.sessions[i] = s
		var stop context.CancelFunc
		ctx, stop = s.While(ctx)
		t.stops = append(t.stops, stop)
	}
	var errs []error
	for i, m := range t.members {
		w, err := prepare(ctx, t.sessions[i], m.Plan)
		t.results[i] = w.told()
		switch {
		case err != nil:
			errs = append(errs, of(m, err))
		case !w.idle:
			t.walks[i] = w
		}
	}
	if err := errors.Join(errs...); err != nil {
		for i := range t.results {
			t.results[i].Status = release.Refused
		}
		return ctx, err
	}
	return ctx, t.begin(ctx)
}

// begin records every member's release, the leader's first: the others name it.
func (t *together) begin(ctx context.Context) error {
	group := &release.Group{}
	for i, m := range t.members {
		if w := t.walks[i]; w != nil {
			if w.plan.Elsewhere && t.walks[0] == nil { // it has run before, with a release of the first
				w.plan.Record.Before, w.plan.Before = w.plan.Before.Hash(), nil
			}
			group.Services = append(group.Services, m.Target.Service)
		}
	}
	for i, m := range t.members {
		w := t.walks[i]
		if w == nil {
			continue
		}
		if len(group.Services) > 1 {
			mine := *group
			w.plan.Record.Group = &mine
		}
		if err := w.begin(ctx, t.sessions[i]); err != nil {
			t.walks[i], t.results[i] = nil, w.told()
			cause := of(m, err)
			return errors.Join(cause, t.fail(ctx, cause))
		}
		if group.Revision == 0 {
			group.Revision = w.Record.Revision
		}
	}
	return nil
}

// walk lets every member go its way at the pace of the slowest.
func (t *together) walk(ctx context.Context) error {
	var walking []int
	for i, w := range t.walks {
		if w != nil {
			walking = append(walking, i)
		}
	}
	if len(walking) == 0 {
		return nil
	}
	meeting := newMeeting(len(walking))
	group, walkCtx := errgroup.WithContext(ctx)
	for n, i := range walking {
		w := t.walks[i]
		w.meet = func(ctx context.Context, point int, what string) error {
			return meeting.arrive(ctx, n, point, func() { w.Log.Linef("ready for %s: waiting for the others", what) })
		}
		group.Go(func() error {
			err := w.run(walkCtx)
			if err == nil {
				err = w.meet(walkCtx, pointFinish, "the end")
			}
			if err != nil && walkCtx.Err() == nil || err != nil && ctx.Err() != nil {
				return of(t.members[i], err)
			}
			return err // another member's: it was the cause that ended walkCtx
		})
	}
	cause := group.Wait()
	if cause == nil {
		cause = t.commit(ctx, walking)
	}
	if cause != nil {
		return t.fail(ctx, cause)
	}
	var errs []error
	for _, i := range walking {
		w := t.walks[i]
		if err := w.Finish(ctx); err != nil {
			errs = append(errs, of(t.members[i], err))
		}
		t.results[i] = w.told()
	}
	return errors.Join(errs...)
}

// commit is the one moment at which all have passed: while every lock is surely
// held, the leader's record says so.
func (t *together) commit(ctx context.Context, walking []int) error {
	for i, s := range t.sessions {
		if err := s.Pass(ctx); err != nil {
			return of(t.members[i], err)
		}
	}
	var least time.Time
	for n, i := range walking {
		until, err := t.walks[i].Held(ctx)
		if err != nil {
			return of(t.members[i], err)
		}
		if n == 0 || until.Before(least) {
			least = until
		}
	}
	return t.walks[walking[0]].Commit(ctx, least)
}

// fail takes every member back. The leader goes first, so that its record does
// not say any more that all had passed when a member's is taken back. Where it
// may say so all the same, because the answer to a write was lost, the others
// are left to the next run, which settles them as it does the leader.
func (t *together) fail(ctx context.Context, cause error) error {
	errs := make([]error, len(t.members))
	failure, ok := errors.AsType[*jobs.Failure](cause)
	neverRan := ok && !failure.Ran
	undo := func(i int) {
		if neverRan { // the Job before: nothing was changed that could not be taken back
			t.walks[i].Record.Barrier = false
		}
		errs[i] = t.walks[i].Fail(ctx, t.reason(i, cause), false)
		t.results[i] = t.walks[i].told()
	}
	var wait sync.WaitGroup
	var leader *walk
	for i, w := range t.walks {
		switch {
		case w == nil || w.Attempt == nil:
		case leader == nil:
			leader = w
			undo(i)
		case !leader.Certain():
			errs[i] = fmt.Errorf("release %d is left under way: whether %s has passed, with which it is promoted together, is not known, and the next run of any action ends both alike",
				w.Record.Revision, leader.Service)
			t.results[i] = w.told()
		default:
			wait.Go(func() { undo(i) })
		}
	}
	wait.Wait()
	var told []error
	for i, err := range errs {
		if err != nil {
			told = append(told, of(t.members[i], err))
		}
	}
	return errors.Join(told...)
}

// reason is why a member is taken back: its own failure, or that of another.
func (t *together) reason(i int, cause error) error {
	var failed *MemberError
	if !errors.As(cause, &failed) {
		return cause
	}
	if failed.Service == t.members[i].Target.Service {
		return failed.Err
	}
	return fmt.Errorf("%s, which it is promoted together with, failed: %w", failed.Service, firstOf(failed.Err))
}

// firstOf keeps another member's evidence out of a member's own error.
func firstOf(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}

func (t *together) close(ctx context.Context) {
	for _, stop := range t.stops {
		stop()
	}
	for _, s := range t.sessions {
		if s != nil {
			s.Close(ctx)
		}
	}
}

// MemberError is the error of one of the services that are promoted together.
type MemberError struct {
	Service string
	Err     error
}

func of(m Member, err error) error { return &MemberError{m.Target.Service, err} }

func (e *MemberError) Error() string { return e.Service + ": " + e.Err.Error() }

func (e *MemberError) Unwrap() error { return e.Err }

// Points at which members wait for each other, in their order: before the Job
// that goes before, when it has succeeded, before each weight, before the new version takes
// over, and before its release is good. Whoever skips some arrives at a later
// one.
const (
	pointBefore = 0
	pointBegun  = 1
	pointFirst  = 2
	pointApply  = 1000
	pointFinish = 1001
)

// meeting is where members wait for each other.
type meeting struct {
	mu    sync.Mutex
	at    []int         // the point that each has reached
	moved chan struct{} // closed when one does
}

func newMeeting(n int) *meeting {
	m := &meeting{at: make([]int, n), moved: make(chan struct{})}
	for i := range m.at {
		m.at[i] = -1
	}
	return m
}

// arrive waits until all have reached the point; waiting is called when that
// takes a wait. It ends early with the context's cause.
func (m *meeting) arrive(ctx context.Context, member, point int, waiting func()) error {
	m.mu.Lock()
	m.at[member] = point
	close(m.moved)
	m.moved = make(chan struct{})
	for told := false; slices.Min(m.at) < point; told = true {
		moved := m.moved
		m.mu.Unlock()
		if !told {
			waiting()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		}
		m.mu.Lock()
	}
	m.mu.Unlock()
	return nil
}
