package history

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/testcluster"
)

// table runs one test twice: in a bubble of fake time on a fake API with the
// times of production, and on the real API server with shorter ones. The fake
// is only as good as it passes the same tests.
func table(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	tableOf(t, short, test)
}

// tableOf is table with times of the test's own on the real API server.
func tableOf(t *testing.T, actual times, test func(t *testing.T, p place)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, place{&fakeLeases{}, standard}) })
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		c := testcluster.New(t)
		test(t, place{c.Client.Kube.CoordinationV1().Leases(c.Namespace), actual})
	})
}

var short = times{
	good: 3 * time.Second, renew: 700 * time.Millisecond, answer: 700 * time.Millisecond, margin: time.Second, spare: 250 * time.Millisecond,
	poll: 150 * time.Millisecond, turn: 900 * time.Millisecond, tell: 500 * time.Millisecond,
}

// ample are those of tests in which one who is only late, on a busy machine,
// must not pass for one who is dead.
var ample = times{
	good: 6 * time.Second, renew: 700 * time.Millisecond, answer: 2 * time.Second, margin: time.Second, spare: 250 * time.Millisecond,
	poll: 150 * time.Millisecond, turn: 3500 * time.Millisecond, tell: 500 * time.Millisecond,
}

// place is where a lock is kept, and its times.
type place struct {
	leases leases
	times  times
}

// slack is for how long a busy machine may hold up what is timed. In the bubble
// nothing is held up.
func (p place) slack() time.Duration {
	if p.times == standard {
		return 500 * time.Millisecond
	}
	return 3 * time.Second
}

func (p place) candidate(who string, waiting func(Wait)) *candidate {
	return &candidate{leases: p.leases, name: "lock", where: "test/lock", id: identity(who), times: p.times, waiting: waiting}
}

// lock takes the lock, which must be had.
func (p place) lock(t *testing.T, who string) *Lock {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := p.candidate(who, nil).acquire(ctx)
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	t.Cleanup(func() { kill(l) })
	return l
}

// line waits until the line has so many in it.
func (p place) line(t *testing.T, n int) {
	t.Helper()
	p.until(t, "the line to have "+strconv.Itoa(n), func(lease *coordinationv1.Lease) bool { return len(lineOf(lease)) == n })
}

func (p place) until(t *testing.T, what string, done func(*coordinationv1.Lease) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		lease, err := p.leases.Get(ctx, "lock", metav1.GetOptions{})
		if err == nil && done(lease) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// kill ends a holder as SIGKILL does: nothing is released.
func kill(l *Lock) {
	l.stop()
	<-l.stopped
}

// fakeLeases keeps one Lease as the API server does: copies in and out,
// resource versions that must match.
type fakeLeases struct {
	mu       sync.Mutex
	lease    *coordinationv1.Lease
	versions int
}

var leaseResource = coordinationv1.Resource("leases")

func (f *fakeLeases) Get(ctx context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case f.lease == nil:
		return nil, apierrors.NewNotFound(leaseResource, name)
	}
	return f.lease.DeepCopy(), nil
}

func (f *fakeLeases) Create(ctx context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case f.lease != nil:
		return nil, apierrors.NewAlreadyExists(leaseResource, lease.Name)
	}
	return f.store(lease), nil
}

func (f *fakeLeases) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case f.lease == nil:
		return nil, apierrors.NewNotFound(leaseResource, lease.Name)
	case lease.ResourceVersion != "" && lease.ResourceVersion != f.lease.ResourceVersion:
		return nil, apierrors.NewConflict(leaseResource, lease.Name, errors.New("it was changed"))
	}
	return f.store(lease), nil
}

func (f *fakeLeases) Delete(context.Context, string, metav1.DeleteOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lease = nil
	return nil
}

func (f *fakeLeases) store(lease *coordinationv1.Lease) *coordinationv1.Lease {
	f.versions++
	uid := types.UID("uid-" + strconv.Itoa(f.versions))
	if f.lease != nil {
		uid = f.lease.UID
	}
	f.lease = lease.DeepCopy()
	f.lease.UID, f.lease.ResourceVersion = uid, strconv.Itoa(f.versions)
	return f.lease.DeepCopy()
}

// brokenLeases stands between: before is asked before each write, after is
// told of it and may lose the answer.
type brokenLeases struct {
	leases
	before, after func(ctx context.Context) error
}

func (b brokenLeases) Create(ctx context.Context, lease *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return b.write(ctx, func() (*coordinationv1.Lease, error) { return b.leases.Create(ctx, lease, o) })
}

func (b brokenLeases) Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return b.write(ctx, func() (*coordinationv1.Lease, error) { return b.leases.Update(ctx, lease, o) })
}

func (b brokenLeases) write(ctx context.Context, do func() (*coordinationv1.Lease, error)) (*coordinationv1.Lease, error) {
	if b.before != nil {
		if err := b.before(ctx); err != nil {
			return nil, err
		}
	}
	lease, err := do()
	if err == nil && b.after != nil {
		if err := b.after(ctx); err != nil {
			return nil, err
		}
	}
	return lease, err
}
