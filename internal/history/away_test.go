package history

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// awayLeases is an API server that is away for a time: reads are answered when
// it is back, as by a client that waits for it, writes are refused.
type awayLeases struct {
	leases
	from, to time.Time
}

func (a awayLeases) away() bool {
	now := time.Now()
	return !now.Before(a.from) && now.Before(a.to)
}

func (a awayLeases) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	if a.away() {
		select {
		case <-time.After(time.Until(a.to)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return a.leases.Get(ctx, name, o)
}

func (a awayLeases) Create(ctx context.Context, lease *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error) {
	if a.away() {
		return nil, io.ErrUnexpectedEOF
	}
	return a.leases.Create(ctx, lease, o)
}

func (a awayLeases) Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	if a.away() {
		return nil, io.ErrUnexpectedEOF
	}
	return a.leases.Update(ctx, lease, o)
}

// While the API server is away a lock cannot be renewed, and that it is not
// says nothing of its holder. He and who waits come back at the same moment.
func TestLock_isNotTakenFromTheLivingAfterAnOutage(t *testing.T) {
	for _, away := range []time.Duration{5 * time.Second, 14 * time.Second, 18 * time.Second, 30 * time.Second} {
		t.Run(away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from := time.Now().Add(12 * time.Second)
				p := place{awayLeases{&fakeLeases{}, from, from.Add(away)}, standard}
				holder := p.lock(t, "holder")
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				l, err := p.candidate("waiter", nil).acquire(ctx)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the waiter got %v", err)
				}
				if l != nil {
					kill(l)
				}
				if err := holder.Check(t.Context()); err != nil {
					t.Errorf("the holder lost it: %v", err)
				}
			})
		})
	}
}

// Nor does an outage keep the lock of a dead holder from being had.
func TestLock_isTakenOverWhenItsHolderDiedBeforeAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const away = 18 * time.Second
		from := time.Now().Add(6 * time.Second)
		p := place{awayLeases{&fakeLeases{}, from, from.Add(away)}, standard}
		kill(p.lock(t, "dead"))
		died := time.Now()
		p.lock(t, "next")
		took := time.Since(died)
		if took < standard.good+away-standard.renew || took > standard.good+away+3*standard.poll {
			t.Errorf("it took %s, %s of which nobody could look", took, away)
		}
	})
}
