package kill

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
)

// count is how many requests the victim makes when nobody kills it.
func (l *lane) count(ctx context.Context, v Victim) (int, error) {
	inputs, err := l.prepare(ctx, v)
	if err != nil {
		return 0, err
	}
	load, err := l.load(ctx) // what is waited for depends on it
	if err != nil {
		return 0, err
	}
	defer load.Stop()
	e, err := l.under(ctx, v, inputs, Point{})
	if err == nil && e.Exit != v.Exit {
		err = fmt.Errorf("%s ended with exit code %d; its log:\n%s", v.Action, e.Exit, e.Log)
	}
	return e.requests, err
}

// points is all of them, shuffled by the seed alone, or a sample that is spread
// over the run.
func (m *Matrix) points(requests int) []Point {
	var all []Point
	for n := max(1, m.From); n <= requests; n++ {
		for moment := range moments {
			if m.Once && int(moment) != n%2 { // sent and answered in turn
				continue
			}
			if !m.OnlyCancel || moment == Cancelled {
				all = append(all, Point{Request: n, Moment: moment})
			}
		}
	}
	chance := mathrand.New(mathrand.NewPCG(m.Seed, 5))
	if m.Sample <= 0 || m.Sample >= len(all) {
		// What is tried when time is up is from everywhere, and whoever goes on
		// finds the same order.
		chance.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all
	}
	var some []Point
	for i := range m.Sample { // one of each stretch
		from, to := i*len(all)/m.Sample, (i+1)*len(all)/m.Sample
		some = append(some, all[from+chance.IntN(to-from)])
	}
	return some
}
