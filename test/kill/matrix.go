package kill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/cluster"
)

// Matrix is every victim, killed at every request, before and after.
type Matrix struct {
	Client     *cluster.Client
	Bin        string    // the folder of the actions' binaries
	Images     [2]string // two versions of a service, by digest
	Gateway    Gateway   // for victims that are routed
	Victims    []Victim
	Lanes      int               // for each victim, how many points are tried at once
	Sample     int               // how many points of each victim are tried; 0: all
	From       int               // the first request that is killed at; 0: 1
	OnlyCancel bool              // no kills
	Once       bool              // each request once, before or after in turn, and no cancels
	Until      time.Time         // no point is begun after it; zero: all are
	Seed       uint64            // chooses the sample, and the order of all points
	Report     Report            // of a matrix that was stopped before, and is gone on with
	Tell       func(tried Tried) // told of every point; never two at once

	mu      sync.Mutex
	control *control
}

// Report is what came of it.
type Report struct {
	Victims map[string]Progress
	Reached int // of the points tried, where the process was killed and had not ended before
	Failed  int
	Void    int // tried again, because the machine was too busy to tell
	Sent    int // requests of users meanwhile
	Lost    int
}

// Progress is how far a victim's points were tried, in their order.
type Progress struct {
	Requests int // that it makes when nobody kills it
	Points   int // that there are
	Tried    int
}

// Points is how many were tried of all victims, and how many there are.
func (r Report) Points() (tried, all int) {
	for _, p := range r.Victims {
		tried, all = tried+p.Tried, all+p.Points
	}
	return tried, all
}

// victimsAtOnce keeps a small machine from starving: each has a service of its
// own, under load.
const victimsAtOnce = 3

// Run tries the points.
func (m *Matrix) Run(ctx context.Context) (report Report, err error) {
	report = m.Report
	report.Victims = map[string]Progress{}
	maps.Copy(report.Victims, m.Report.Victims)
	if m.control, err = newControl(ctx, m); err != nil {
		return report, errors.Join(err, m.control.remove(ctx))
	}
	defer func() { err = errors.Join(err, m.control.remove(ctx)) }()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(victimsAtOnce)
	for _, v := range m.Victims {
		group.Go(func() error { return m.victim(ctx, v, &report) })
	}
	err = group.Wait()
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
	m.mu.Lock()
	progress := report.Victims[v.Name]
	m.mu.Unlock()
	if progress.Requests == 0 {
		if progress.Requests, err = lanes[0].count(ctx, v); err != nil {
			return fmt.Errorf("%s: count its requests: %w", v.Name, err)
		}
	}
	all := m.points(progress.Requests)
	if progress.Tried > 0 && progress.Points != len(all) {
		return fmt.Errorf("%s: %d of %d points were tried before, and now there are %d: go on with what it was begun with", v.Name, progress.Tried, progress.Points, len(all))
	}
	left := all[min(progress.Tried, len(all)):]
	progress.Points = len(all)
	m.mu.Lock()
	report.Victims[v.Name] = progress
	m.mu.Unlock()
	points := make(chan Point)
	group, some = errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(points)
		for _, p := range left {
			if !m.Until.IsZero() && time.Now().After(m.Until) {
				return nil
			}
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
				if err := m.point(some, l, v, p, report); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// point tries one, and again where the machine was too busy to tell.
func (m *Matrix) point(ctx context.Context, l *lane, v Victim, p Point, report *Report) error {
	next := Next(report.next(m, v))
	for again := 3; ; again-- {
		before := m.control.lost()
		tried := l.try(ctx, v, p, next)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		starved := tried.Err != nil && m.control.lost() > before && again > 1
		if starved {
			m.mu.Lock()
			report.Void++
			m.mu.Unlock()
		} else {
			m.tell(tried, report)
		}
		if tried.Err == nil {
			return nil
		}
		// What is broken would break the points after it.
		fresh, err := newLane(ctx, m, v)
		if err != nil {
			return errors.Join(err, fresh.remove(ctx))
		}
		old := *l
		*l = *fresh
		if err := old.remove(ctx); err != nil {
			return err
		}
		if !starved {
			return nil
		}
	}
}

// next takes the runs that come next in turn.
func (r *Report) next(m *Matrix, v Victim) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := r.Victims[v.Name]
	p.Tried++
	r.Victims[v.Name] = p
	tried, _ := r.Points()
	return tried % int(nexts)
}

func (m *Matrix) tell(t Tried, r *Report) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.At != "" {
		r.Reached++
	}
	r.Sent, r.Lost = r.Sent+t.Load.Sent, r.Lost+t.Load.Failed
	if t.Err != nil {
		r.Failed++
	}
	if m.Tell != nil {
		m.Tell(t)
	}
}
