package history

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ErrLost says that the lock is not held any more and will not be again:
// another one took it over, someone deleted it, or it was released.
var ErrLost = errors.New("the lock of this environment is lost")

var errGone = errors.New("its lease was deleted")

// Lock is the right to change an environment. It is renewed by itself until
// it is released or lost. It is safe for concurrent use.
type Lock struct {
	leases leases
	name   string
	where  string // the name, with the namespace
	id     string
	uid    types.UID
	times  times

	stop    context.CancelFunc
	stopped chan struct{}
	writing chan struct{} // holds one token: only one renewal at a time
	gone    chan struct{}
	asked   chan Ask // holds the first that nobody has taken notice of

	mu      sync.Mutex
	lease   *coordinationv1.Lease // as last written
	renewed time.Time             // the start of the last write that came through
	lost    error
}

// hold starts the life of a lock that was taken by a write begun at start.
func hold(ctx context.Context, c *candidate, lease *coordinationv1.Lease, start time.Time) *Lock {
	l := &Lock{
		leases: c.leases, name: c.name, where: c.where, id: c.id, uid: lease.UID, times: c.times,
		stopped: make(chan struct{}), writing: make(chan struct{}, 1), gone: make(chan struct{}), asked: make(chan Ask, 1),
		lease: lease, renewed: start,
	}
	// Undoing goes on after a cancel, and so does the lock.
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.keep(ctx)
	return l
}

// keep renews. A renewal that did not come through is tried again soon.
func (l *Lock) keep(ctx context.Context) {
	defer close(l.stopped)
	timer := time.NewTimer(l.times.renew)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.gone:
			return
		case <-timer.C:
		}
		next := l.times.renew
		if l.renew(ctx, l.times.renew) != nil {
			next = l.times.poll
		}
		timer.Reset(next)
	}
}

// Check is nil while this process surely holds the lock. It costs nothing while
// renewals come through, and one request where the last is too long ago: a
// process that was stopped and wakes up late learns here that another one has
// taken over. After that, and after Release, it is ErrLost for ever. Any other
// error means that the cluster could not be asked.
func (l *Lock) Check(ctx context.Context) error {
	_, err := l.Until(ctx)
	return err
}

// Until is Check for a write that is about to be begun: it also gives the time
// by which that must have ended, come through or not, since afterwards another
// one may have the lock and begin. The time is never less than some seconds
// ahead; a write that needs longer asks again.
func (l *Lock) Until(ctx context.Context) (time.Time, error) {
	sure, err := l.state(0)
	if !sure && err == nil {
		err = l.renew(ctx, 0)
	}
	if err != nil {
		return time.Time{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.renewed.Add(l.times.good - l.times.spare), l.lost
}

// Lost is closed when the lock is lost to another one.
func (l *Lock) Lost() <-chan struct{} { return l.gone }

// Asked tells who asks for the lock to be given up, with the next renewal. To
// heed it is the holder's own affair.
func (l *Lock) Asked() <-chan Ask { return l.asked }

// state says whether the lock is surely held and was renewed in the last
// while, 0: at any time.
func (l *Lock) state(within time.Duration) (sure bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil {
		return false, l.lost
	}
	// The monotonic clock stands still while a machine is suspended, the wall
	// clock jumps: whichever says that more time has passed is right.
	now := time.Now()
	passed := max(now.Sub(l.renewed), now.Round(0).Sub(l.renewed.Round(0)))
	if within > 0 {
		return passed < within, nil
	}
	return passed < l.times.good-l.times.margin, nil
}

// renew writes the time into the Lease, if it is still ours. It does nothing
// where another renewal, for which it waited, has done so meanwhile.
func (l *Lock) renew(ctx context.Context, every time.Duration) error {
	select {
	case l.writing <- struct{}{}:
		defer func() { <-l.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if sure, err := l.state(every); sure || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.times.answer)
	defer cancel()
	return l.write(ctx, func(lease *coordinationv1.Lease) {
		now := metav1.NowMicro()
		lease.Spec.RenewTime = &now
	})
}

// write changes the Lease while it is ours. Those who wait write their line
// into it too, so that a conflict need not mean that it is lost.
func (l *Lock) write(ctx context.Context, change func(*coordinationv1.Lease)) error {
	l.mu.Lock()
	lease := l.lease.DeepCopy()
	l.mu.Unlock()
	for {
		start := time.Now()
		change(lease)
		written, err := l.leases.Update(ctx, lease, metav1.UpdateOptions{})
		switch {
		case err == nil:
			l.mu.Lock()
			l.lease, l.renewed = written, start
			l.mu.Unlock()
			return nil
		case apierrors.IsNotFound(err):
			return l.lose(errGone)
		case !apierrors.IsConflict(err):
			return fmt.Errorf("renew the lock %s: %w", l.where, err)
		}
		lease, err = l.leases.Get(ctx, l.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return l.lose(errGone)
		case err != nil:
			return fmt.Errorf("renew the lock %s: %w", l.where, err)
		case lease.UID != l.uid || holderOf(lease) != l.id:
			return l.lose(fmt.Errorf("it is held by %s", person(holderOf(lease))))
		}
		if ask, ok := asked(lease); ok {
			select {
			case l.asked <- ask:
			default: // it is known already
			}
		}
	}
}

// lose ends the lock for good, the first time with what becomes its error.
func (l *Lock) lose(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil {
		l.lost = fmt.Errorf("%w (%s): %w", ErrLost, l.where, why)
		close(l.gone)
	}
	return l.lost
}

// Release stops renewing and lets go, so that the next in line need not wait
// for the lock to expire. From its call on, nothing is written under the lock.
// To release one that is lost or released already is no error.
func (l *Lock) Release(ctx context.Context) error {
	l.stop()
	<-l.stopped
	l.mu.Lock()
	over := l.lost != nil
	if !over {
		l.lost = fmt.Errorf("%w (%s): it was released", ErrLost, l.where)
	}
	l.mu.Unlock()
	if over {
		return nil
	}
	select {
	case l.writing <- struct{}{}: // a renewal at work ends first
		defer func() { <-l.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := retry(ctx, func(ctx context.Context) error { return l.write(ctx, letGo) })
	if errors.Is(err, ErrLost) {
		return nil
	}
	return err
}

func letGo(lease *coordinationv1.Lease) {
	now := metav1.NowMicro()
	lease.Spec.HolderIdentity, lease.Spec.AcquireTime, lease.Spec.RenewTime = nil, nil, &now
}
