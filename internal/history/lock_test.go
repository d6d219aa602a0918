package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLock_passesOnAtOnceWhenReleased(t *testing.T) {
	tableOf(t, ample, func(t *testing.T, p place) {
		first := p.lock(t, "first")
		if err := first.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		var told []Wait
		var released time.Time
		second := make(chan *Lock)
		go func() {
			l, err := p.candidate("second", func(w Wait) { told = append(told, w) }).acquire(t.Context())
			if err != nil {
				t.Error(err)
			}
			second <- l
		}()
		p.line(t, 1)
		released = time.Now()
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := <-second
		defer kill(l)
		if took := time.Since(released); took > p.times.poll*6/5+p.slack() {
			t.Errorf("it took %s", took)
		}
		if len(told) == 0 || told[0].By != "first" || told[0].Position != 1 || time.Since(told[0].Since) > time.Minute {
			t.Errorf("the second was told %+v", told)
		}
		if err := first.Check(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("after its release the first may write: %v", err)
		}
		if err := first.Release(t.Context()); err != nil {
			t.Errorf("released again: %v", err)
		}
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("the second lock is not sure: %v", err)
		}
	})
}

func TestLock_isTakenOverWhenItsHolderDied(t *testing.T) {
	table(t, func(t *testing.T, p place) {
		dead := p.lock(t, "dead")
		kill(dead)
		died := time.Now()
		next := p.lock(t, "next")
		if took := time.Since(died); took < p.times.good-p.times.renew || took > p.times.good+2*p.times.poll+p.slack() {
			t.Errorf("it took %s, the lock was good for %s", took, p.times.good)
		}
		if err := dead.Check(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "held by next") {
			t.Errorf("the dead may write: %v", err)
		}
		select {
		case <-dead.Lost():
		default:
			t.Error("the dead is not told")
		}
		if err := dead.Release(t.Context()); err != nil {
			t.Errorf("the dead releases: %v", err)
		}
		if err := next.Check(t.Context()); err != nil {
			t.Errorf("the next lock is gone by it: %v", err)
		}
	})
}

// A process that is stopped (SIGSTOP, a laptop's lid, a hypervisor) and wakes
// up late must not write, whatever it was about to do.
func TestLock_keepsALateWakerFromWriting(t *testing.T) {
	table(t, func(t *testing.T, p place) {
		stopped := make(chan struct{})
		var asleep atomic.Bool
		slow := place{brokenLeases{leases: p.leases, before: func(ctx context.Context) error {
			if !asleep.Load() {
				return nil
			}
			<-stopped
			return ctx.Err()
		}}, p.times}
		sleeper := slow.lock(t, "sleeper")
		asleep.Store(true)
		next := p.lock(t, "next")
		asleep.Store(false)
		close(stopped)
		if err := sleeper.Check(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("the sleeper may write: %v", err)
		}
		if err := next.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A write that is begun must have ended before anyone else may begin, and must
// have time enough to end.
func TestLock_tellsUntilWhenAWriteMustHaveEnded(t *testing.T) {
	tableOf(t, ample, func(t *testing.T, p place) {
		l := p.lock(t, "holder")
		tick := time.NewTicker(p.times.poll)
		defer tick.Stop()
		for begun := time.Now(); time.Since(begun) < 2*p.times.good; <-tick.C {
			until, err := l.Until(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.mu.Lock()
			renewed := l.renewed
			l.mu.Unlock()
			if left := renewed.Add(p.times.good).Sub(until); left < p.times.spare {
				t.Fatalf("a write may go on until %s before the lock expires", left)
			}
			if left := time.Until(until); left < p.times.margin-p.times.spare-p.times.poll {
				t.Fatalf("a write has only %s", left)
			}
		}
		kill(l)
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if until, err := l.Until(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("after its release a write has until %v, error %v", until, err)
		}
	})
}

func TestLock_isHeldForAsLongAsItsHolderLives(t *testing.T) {
	tableOf(t, ample, func(t *testing.T, p place) {
		holder := p.lock(t, "holder")
		ctx, cancel := context.WithTimeout(t.Context(), 3*p.times.good)
		defer cancel()
		_, err := p.candidate("waiter", nil).acquire(ctx)
		var held *HeldError
		if !errors.As(err, &held) || held.By != "holder" || held.Position != 1 || !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "held by holder since") {
			t.Errorf("the waiter got %v", err)
		}
		if err := holder.Check(t.Context()); err != nil {
			t.Error(err)
		}
		p.line(t, 0) // the waiter stepped out of it
	})
}

func TestLock_servesTenInTheOrderInWhichTheyCame(t *testing.T) {
	tableOf(t, ample, func(t *testing.T, p place) {
		var mu sync.Mutex
		var order []int
		told := map[int][]int{}
		var inside atomic.Int32
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				l, err := p.candidate(fmt.Sprintf("run %d", i), func(w Wait) {
					mu.Lock()
					defer mu.Unlock()
					told[i] = append(told[i], w.Position)
				}).acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two have the lock")
				}
				if i == 0 {
					p.line(t, 9) // all others have come
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				if err := l.Check(t.Context()); err != nil {
					t.Error(err)
				}
				inside.Add(-1)
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if i == 0 {
				p.until(t, "the first", func(l *coordinationv1.Lease) bool { return holderOf(l) != "" })
			} else {
				p.line(t, i)
			}
		}
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("they were served as %v", order)
		}
		if last := told[9]; len(last) == 0 || last[0] != 9 || !slices.IsSortedFunc(last, func(a, b int) int { return b - a }) {
			t.Errorf("the last was told the places %v", last)
		}
	})
}

func TestLock_passesOverThoseWhoDiedInLine(t *testing.T) {
	tableOf(t, ample, func(t *testing.T, p place) {
		holder := p.lock(t, "holder")
		ctx, die := context.WithCancel(t.Context())
		var dead sync.WaitGroup
		gone := place{brokenLeases{leases: p.leases, before: func(context.Context) error { return ctx.Err() }}, p.times}
		for i := range 3 {
			dead.Go(func() { _, _ = gone.candidate("dead", nil).acquire(ctx) })
			p.line(t, i+1)
		}
		die() // they cannot step out of the line any more
		dead.Wait()
		p.line(t, 3)
		if err := holder.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		released := time.Now()
		alive := p.lock(t, "alive")
		if took := time.Since(released); took < 2*p.times.turn || took > 3*p.times.turn+2*p.times.poll+p.slack() {
			t.Errorf("it took %s to pass over three, %s each", took, p.times.turn)
		}
		p.line(t, 0)
		if err := alive.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		released = time.Now()
		p.lock(t, "next")
		if took := time.Since(released); took > p.times.turn+p.slack() { // the three dead would cost three turns
			t.Errorf("the dead were not forgotten: it took %s", took)
		}
	})
}

func TestLock_losesNothingWhenAnswersAreLost(t *testing.T) {
	table(t, func(t *testing.T, p place) {
		var writes atomic.Int32
		lossy := place{brokenLeases{leases: p.leases, after: func(context.Context) error {
			if writes.Add(1)%2 == 1 { // every other, the first among them
				return io.ErrUnexpectedEOF
			}
			return nil
		}}, p.times}
		for range 3 {
			l := lossy.lock(t, "holder")
			for range 4 {
				if err := l.renew(t.Context(), time.Nanosecond); err != nil && !passing(err) {
					t.Fatalf("renew: %v", err)
				}
			}
			if err := l.Check(t.Context()); err != nil {
				t.Fatalf("check: %v", err)
			}
			if err := l.Release(t.Context()); err != nil {
				t.Fatalf("release: %v", err)
			}
			p.until(t, "nobody to hold it", func(l *coordinationv1.Lease) bool { return holderOf(l) == "" })
		}
	})
}

func TestLock_survivesAnOutageInWhichNobodyTookIt(t *testing.T) {
	table(t, func(t *testing.T, p place) {
		var out atomic.Bool
		shaky := place{brokenLeases{leases: p.leases, before: func(context.Context) error {
			if out.Load() {
				return io.ErrUnexpectedEOF
			}
			return nil
		}}, p.times}
		l := shaky.lock(t, "holder")
		out.Store(true)
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("just renewed, it is not sure: %v", err)
		}
		tick := time.NewTicker(p.times.poll)
		defer tick.Stop()
		for l.Check(t.Context()) == nil {
			<-tick.C // until it cannot be sure any more
		}
		if err := l.Check(t.Context()); errors.Is(err, ErrLost) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("during the outage: %v", err)
		}
		out.Store(false)
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestLock_isLostWhenItsLeaseIsDeleted(t *testing.T) {
	table(t, func(t *testing.T, p place) {
		l := p.lock(t, "holder")
		deleter := p.leases.(interface {
			Delete(context.Context, string, metav1.DeleteOptions) error
		})
		if err := deleter.Delete(t.Context(), "lock", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		<-l.Lost()
		if err := l.Check(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("check: %v", err)
		}
		p.lock(t, "next")
	})
}

// Clocks of two machines differ; what a holder writes as the time says
// nothing about its life.
func TestLock_neverBelievesAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := place{&fakeLeases{}, standard}
		behind := place{skewed{p.leases, -time.Hour}, standard}
		l := behind.lock(t, "an hour behind")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if _, err := p.candidate("waiter", nil).acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("took it from a living holder: %v", err)
		}
		kill(l)
		ahead := place{skewed{p.leases, time.Hour}, standard}
		kill(ahead.lock(t, "an hour ahead"))
		died := time.Now()
		p.lock(t, "next")
		if took := time.Since(died); took > 17*time.Second {
			t.Errorf("a dead holder an hour ahead was waited for for %s", took)
		}
	})
}

// skewed is the API as one uses it whose clock is wrong.
type skewed struct {
	leases
	by time.Duration
}

func (s skewed) Create(ctx context.Context, lease *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return s.leases.Create(ctx, s.skew(lease), o)
}

func (s skewed) Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return s.leases.Update(ctx, s.skew(lease), o)
}

func (s skewed) skew(lease *coordinationv1.Lease) *coordinationv1.Lease {
	lease = lease.DeepCopy()
	if lease.Spec.RenewTime != nil {
		wrong := metav1.NewMicroTime(lease.Spec.RenewTime.Add(s.by))
		lease.Spec.RenewTime = &wrong
	}
	return lease
}

func TestLock_getsOverAScribbledLease(t *testing.T) {
	for what, scribble := range map[string]func(*coordinationv1.Lease){
		"a line that is none": func(l *coordinationv1.Lease) { l.Annotations = map[string]string{annotationWaiting: `{"a":1}`} },
		"a line of thousands": func(l *coordinationv1.Lease) {
			l.Annotations = map[string]string{annotationWaiting: `["` + strings.Repeat(`x","`, 5000) + `"]`}
			l.Spec.HolderIdentity = nil
		},
		"asks that are none": func(l *coordinationv1.Lease) { l.Annotations = map[string]string{annotationAsking: `[1]`} },
		"good for years":     func(l *coordinationv1.Lease) { *l.Spec.LeaseDurationSeconds = 1 << 30 },
		"nothing at all":     func(l *coordinationv1.Lease) { l.Spec = coordinationv1.LeaseSpec{} },
		"no times":           func(l *coordinationv1.Lease) { l.Spec.RenewTime, l.Spec.AcquireTime = nil, nil },
		"a foreign agent":    func(l *coordinationv1.Lease) { *l.Spec.HolderIdentity = "someone" },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeLeases{}
				p := place{f, standard}
				kill(p.lock(t, "dead"))
				scribble(f.lease)
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				l, err := p.candidate("next", nil).acquire(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer kill(l)
				if took := time.Since(begun); took > 6*time.Minute {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestIdentity_isFitToBeShownAndOneOfItsKind(t *testing.T) {
	a, b := identity("promote\n::error::x\x1b[31m, run 1"), identity("promote\n::error::x\x1b[31m, run 1")
	if a == b {
		t.Error("two of one name are the same")
	}
	if got := person(a); got != "promote::error::x[31m, run 1" {
		t.Errorf("shown as %q", got)
	}
	if n := len([]rune(person(identity(strings.Repeat("ä", 500))))); n != 100 {
		t.Errorf("%d signs are shown", n)
	}
}
