package history

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// times are those of the lock.
type times struct {
	good   time.Duration // for how long a lock is good that is not renewed; whole seconds
	renew  time.Duration // how often it is renewed, and so how soon its holder learns who asks for it
	answer time.Duration // how long the answer to a renewal is waited for
	margin time.Duration // how long before its end nothing more is begun under it
	spare  time.Duration // how long before its end nothing more is under way under it
	poll   time.Duration // how often those who wait look
	turn   time.Duration // for how long a free lock is offered to one of those who wait
	tell   time.Duration // how often they are told that they wait
}

// standard: a runner may miss a renewal. After a kill the next waits
// 15 s, and 3 s more for each that died in line before him.
var standard = times{
	good: 15 * time.Second, renew: 5 * time.Second, answer: 5 * time.Second, margin: 6 * time.Second, spare: time.Second,
	poll: time.Second, turn: 3 * time.Second, tell: 10 * time.Second,
}

// Wait tells why there is no lock yet.
type Wait struct {
	By       string    // who holds it: as that one called itself; empty: nobody, it is another's turn
	Since    time.Time // when it was taken, by that one's clock; zero: unknown
	Position int       // 1: next in line
}

// HeldError says that the time to wait for the lock was over.
type HeldError struct {
	Wait
	Lock  string // the name of the Lease, with its namespace
	Cause error  // why no longer
}

func (e *HeldError) Error() string {
	by := "someone else's turn"
	if e.By != "" {
		by = "held by " + e.By
		if !e.Since.IsZero() {
			by += " since " + e.Since.UTC().Format(time.RFC3339)
		}
	}
	return fmt.Sprintf("wait for the lock %s, %s, at place %d: %v", e.Lock, by, e.Position, e.Cause)
}

func (e *HeldError) Unwrap() error { return e.Cause }

// Next is what to do about it.
func (e *HeldError) Next() string {
	return "wait until that run has ended, or cancel it, and run this one again; the lock of a run that was killed is free after 15 s"
}

// Lock waits for the lock of the environment until ctx ends, then gives a
// *HeldError. Those who wait get it in the order in which they came. holder
// says for people who wants it, such as "promote, run 4711"; waiting (may be
// nil) is told at once, then every 10 s, and whenever the holder or the place
// in line changes. The lock is renewed until it is released or lost, also
// after ctx has ended: what must be undone is undone under it.
//
// From now on, whatever is written through the store is written only while
// the lock is surely held.
func (s *Store) Lock(ctx context.Context, holder string, waiting func(Wait)) (*Lock, error) {
	return s.take(ctx, &candidate{id: identity(holder), waiting: waiting})
}

// Ask is Lock for one who cannot wait: whoever holds the lock is asked to give
// way (Lock.Asked), and all who wait and do not ask come later. why is for
// people, and may be empty.
func (s *Store) Ask(ctx context.Context, holder, why string, waiting func(Wait)) (*Lock, error) {
	return s.take(ctx, &candidate{id: identity(holder), asks: true, why: shown(why), waiting: waiting})
}

func (s *Store) take(ctx context.Context, c *candidate) (*Lock, error) {
	c.leases, c.name, c.where = s.kube.CoordinationV1().Leases(s.namespace), s.name(), s.namespace+"/"+s.name()
	c.labels = map[string]string{labelService: Word(s.service), labelEnvironment: Word(s.environment)}
	c.times = s.times
	lock, err := c.acquire(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.lock = lock
	s.mu.Unlock()
	return lock, nil
}

// identity makes a holder's text one of its kind, and fit to be shown.
func identity(holder string) string {
	return shown(holder) + "/" + rand.Text()[:10]
}

// leases is what the lock needs of the API; the typed client has it.
type leases interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, lease *coordinationv1.Lease, o metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, lease *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

// candidate wants the lock.
type candidate struct {
	leases      leases
	name, where string
	labels      map[string]string
	id          string
	asks        bool // the holder to give way
	why         string
	times       times
	waiting     func(Wait)

	sight sight
	told  Wait
	when  time.Time // it was told
}

func (c *candidate) acquire(ctx context.Context) (*Lock, error) {
	for {
		lock, pause, err := c.try(ctx)
		switch {
		case lock != nil:
			return lock, nil
		case err != nil && ctx.Err() == nil:
			return nil, fmt.Errorf("take the lock %s: %w", c.where, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			c.leave(ctx)
			if c.when.IsZero() {
				return nil, fmt.Errorf("take the lock %s: %w", c.where, errors.Join(err, context.Cause(ctx)))
			}
			return nil, &HeldError{Wait: c.told, Lock: c.where, Cause: context.Cause(ctx)}
		case <-timer.C:
		}
	}
}

// try looks once and makes one move. Without a lock and an error, the next
// look is after the pause.
func (c *candidate) try(ctx context.Context) (_ *Lock, pause time.Duration, err error) {
	soon, later := jitter(c.times.poll/20), jitter(c.times.poll)
	if c.asks {
		later /= 4
	}
	var lease *coordinationv1.Lease
	err = retry(ctx, func(ctx context.Context) (err error) {
		lease, err = c.leases.Get(ctx, c.name, metav1.GetOptions{})
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return c.write(ctx, nil, soon)
	case err != nil:
		return nil, 0, err
	}
	now := time.Now()
	c.sight.look(lease, now, c.times.poll)
	queue, holder := lineOf(lease), holderOf(lease)
	switch queue.next(c.id, holder, c.sight.free(now, c.good(lease)), c.times.turn) {
	case take:
		return c.write(ctx, lease, soon)
	case enter:
		queue = c.stand(queue, lease)
		if _, err := c.leases.Update(ctx, lease, metav1.UpdateOptions{}); err != nil {
			return nil, soon, c.serious(err)
		}
	case stay:
	}
	c.tell(lease, queue, now)
	return nil, later, nil
}

// stand puts the candidate into the line that the lease shows.
func (c *candidate) stand(queue line, lease *coordinationv1.Lease) line {
	if !c.asks {
		queue = append(queue, c.id)
		queue.write(lease)
		return queue
	}
	all := asksOf(lease)
	queue = queue.urge(c.id, all)
	if all == nil {
		all = asks{}
	}
	all[c.id] = c.why
	all.write(lease)
	queue.write(lease)
	return queue
}

// write takes the lock: a new Lease, or one that is free or expired.
func (c *candidate) write(ctx context.Context, lease *coordinationv1.Lease, soon time.Duration) (*Lock, time.Duration, error) {
	start := time.Now()
	taken, err := c.put(ctx, lease)
	if err != nil {
		return nil, soon, c.serious(err)
	}
	return hold(ctx, c, taken, start), 0, nil
}

func (c *candidate) put(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	fresh := lease == nil
	if fresh {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: c.name, Labels: c.labels}}
	}
	now, good, transitions := metav1.NowMicro(), int32(c.times.good/time.Second), int32(1) //nolint:gosec // seconds of a lease
	if lease.Spec.LeaseTransitions != nil {
		transitions += *lease.Spec.LeaseTransitions
	}
	lease.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: &c.id, LeaseDurationSeconds: &good, AcquireTime: &now, RenewTime: &now, LeaseTransitions: &transitions,
	}
	lineOf(lease).after(c.id).write(lease)
	if fresh {
		return c.leases.Create(ctx, lease, metav1.CreateOptions{})
	}
	return c.leases.Update(ctx, lease, metav1.UpdateOptions{})
}

// serious keeps the errors after which looking again is of no use.
func (c *candidate) serious(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || passing(err) {
		return nil
	}
	return err
}

// good is how long the lock is good that the lease shows. Whoever wrote it may
// be of another version; nobody is believed more than a minute.
func (c *candidate) good(lease *coordinationv1.Lease) time.Duration {
	if lease.Spec.LeaseDurationSeconds == nil {
		return c.times.good
	}
	return min(max(time.Duration(*lease.Spec.LeaseDurationSeconds)*time.Second, c.times.good), time.Minute)
}

func (c *candidate) tell(lease *coordinationv1.Lease, queue line, now time.Time) {
	told := Wait{By: person(holderOf(lease)), Position: queue.place(c.id) + 1}
	if told.By != "" && lease.Spec.AcquireTime != nil {
		told.Since = lease.Spec.AcquireTime.UTC()
	}
	if told == c.told && now.Sub(c.when) < c.times.tell {
		return
	}
	c.told, c.when = told, now
	if c.waiting != nil {
		c.waiting(told)
	}
}

// leave steps out of the line, so that nobody waits for one who has gone. If it
// does not come through, his turn passes.
func (c *candidate) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		lease, err := c.leases.Get(ctx, c.name, metav1.GetOptions{})
		if err != nil {
			return
		}
		queue, held := lineOf(lease), holderOf(lease) == c.id
		if queue.place(c.id) == len(queue) && !held {
			return
		}
		queue.without(c.id).write(lease)
		if held { // taken by a write whose answer was lost
			letGo(lease)
		}
		if _, err := c.leases.Update(ctx, lease, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			return
		}
	}
}

// jitter keeps those who wait from looking all at the same moment.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*mathrand.Float64())) //nolint:gosec // chance, no secret
}
