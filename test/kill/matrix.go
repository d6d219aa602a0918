package kill

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/cluster"
)

// Matrix is every victim, killed at every request, before and after.
type Matrix struct {
	Client  *cluster.Client
	Bin     string    // the folder of the actions' binaries
	Images  [2]string // two versions of a service, by digest
	Victims []Victim
	Lanes   int               // for each victim, how many points are tried at once
	Sample  int               // how many points of each victim are tried; 0: all
	Seed    uint64            // chooses the sample
	Tell    func(tried Tried) // told of every point; never two at once
	Counted func(string, int) // told of how many requests a victim makes; likewise
	mu      sync.Mutex
}

// Report is what came of it.
type Report struct {
	Points  int // tried
	Reached int // of them, where the process was killed and had not ended before
	Failed  []Tried
	Sent    int // requests of users meanwhile
	Lost    int
}

// Run tries the points.
func (m *Matrix) Run(ctx context.Context) (Report, error) {
	var report Report
	group, ctx := errgroup.WithContext(ctx)
	for _, v := range m.Victims {
		group.Go(func() error { return m.victim(ctx, v, &report) })
	}
	err := group.Wait()
	return report, err
}

func (m *Matrix) victim(ctx context.Context, v Victim, report *Report) (err error) {
	lanes := make([]*lane, m.Lanes)
	defer func() {
		for _, l := range lanes {
			if l != nil {
				err = errors.Join(err, l.remove(ctx))
			}
		}
	}()
	group, some := errgroup.WithContext(ctx)
	for i := range lanes {
		group.Go(func() (err error) {
			lanes[i], err = newLane(some, m, v)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s: prepare: %w", v.Name, err)
	}
	requests, err := lanes[0].count(ctx, v)
	if err != nil {
		return fmt.Errorf("%s: count its requests: %w", v.Name, err)
	}
	if m.Counted != nil {
		m.mu.Lock()
		m.Counted(v.Name, requests)
		m.mu.Unlock()
	}
	points := make(chan Point)
	group, some = errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(points)
		for _, p := range m.points(requests) {
			select {
			case points <- p:
			case <-some.Done():
				return nil
			}
		}
		return nil
	})
	for _, l := range lanes {
		group.Go(func() error {
			for p := range points {
				tried := l.try(some, v, p, Next(report.next(m)))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				m.tell(tried, report)
				if tried.Err != nil { // what is broken would break the points after it
					fresh, err := newLane(some, m, v)
					if err != nil {
						return errors.Join(err, fresh.remove(ctx))
					}
					err = l.remove(ctx)
					*l = *fresh
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// count is how many requests the victim makes when nobody kills it.
func (l *lane) count(ctx context.Context, v Victim) (int, error) {
	inputs, err := l.prepare(ctx, v)
	if err != nil {
		return 0, err
	}
	var at string
	o, n, err := l.under(ctx, v, inputs, Point{}, &at)
	if err == nil && o.Exit != 0 {
		err = fmt.Errorf("%s ended with exit code %d; its log:\n%s", v.Action, o.Exit, o.Log)
	}
	return n, err
}

// points is all of them in order, or a sample that is spread over the run.
func (m *Matrix) points(requests int) []Point {
	var all []Point
	for n := 1; n <= requests; n++ {
		all = append(all, Point{n, Sent}, Point{n, Answered})
	}
	if m.Sample <= 0 || m.Sample >= len(all) {
		return all
	}
	chance := mathrand.New(mathrand.NewPCG(m.Seed, 5)) //nolint:gosec // chance, no secret
	var some []Point
	for i := range m.Sample { // one of each stretch
		from, to := i*len(all)/m.Sample, (i+1)*len(all)/m.Sample
		some = append(some, all[from+chance.IntN(to-from)])
	}
	return some
}

// next takes the runs that come next in turn.
func (r *Report) next(m *Matrix) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Points++
	return r.Points % int(nexts)
}

func (m *Matrix) tell(t Tried, r *Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.At != "" {
		r.Reached++
	}
	r.Sent, r.Lost = r.Sent+t.Load.Sent, r.Lost+t.Load.Failed
	if t.Err != nil {
		r.Failed = append(r.Failed, t)
	}
	if m.Tell != nil {
		m.Tell(t)
	}
}
