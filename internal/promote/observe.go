package promote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/metrics"
)

// The pace of looking, and of telling what was seen.
const (
	lookEvery = 2 * time.Second
	tellEvery = 10 * time.Second
)

// observer measures the new version and, where one is there, the live version
// of the same moment.
type observer struct {
	fresh, live metrics.Session // live is nil during the watch
	checks      []analysis.Check
	series      *analysis.Series
	begun       bool // the comparison
}

func (w *walk) observe(ctx context.Context, checks []analysis.Check, steps int, fresh, live metrics.Lister) *observer {
	o := newObserver(w.plan.Source.Start(ctx, fresh), checks, steps)
	if live != nil {
		o.live = w.plan.Source.Start(ctx, live)
	}
	return o
}

// observeAlone is for the new version after it took over: restarts are those
// of all its pods, requests of those alone that take any.
func (w *walk) observeAlone(ctx context.Context, checks []analysis.Check, steps int) *observer {
	source := metrics.Serving(w.plan.Source, w.TakesRequests())
	return newObserver(source.Start(ctx, w.Pods), checks, steps)
}

func newObserver(fresh metrics.Session, checks []analysis.Check, steps int) *observer {
	return &observer{fresh: fresh, checks: checks, series: analysis.NewSeries(checks, analysis.Rules{Steps: steps})}
}

// step tells the sessions that the weight has become true.
func (o *observer) step() {
	for _, s := range []metrics.Session{o.fresh, o.live} {
		if s, ok := s.(metrics.Stepper); ok {
			s.Step()
		}
	}
}

func (o *observer) close() {
	o.fresh.Close()
	if o.live != nil {
		o.live.Close()
	}
}

// reading is what was measured up to a moment; where err is not nil, not the
// requests.
type reading struct {
	now      analysis.Measurement
	baseline *analysis.Measurement // nil: there is none
	err      error
}

// read is called once the version has its weight: the first reading begins the
// comparison.
func (o *observer) read(ctx context.Context) reading {
	var r reading
	r.now, r.err = o.fresh.Read(ctx)
	if r.err == nil && o.live != nil {
		m, err := o.live.Read(ctx)
		r.baseline, r.err = &m, err
	}
	if r.err == nil && !o.begun {
		o.series.Start(r.now, r.baseline)
		o.begun = true
	}
	return r
}

// begin makes the first reading, if there was none. Where that fails, the first
// that succeeds takes its place.
func (o *observer) begin(ctx context.Context) {
	if !o.begun {
		_ = o.read(ctx)
	}
}

// judge gives the checks' results in their order.
func (o *observer) judge(r reading, ended bool) []analysis.Result {
	switch {
	case r.err != nil:
		// What cannot be measured is no pass: the looks go on, and the end of
		// the step decides by the policy.
		return o.series.Unmeasured(r.now, "not measured: "+r.err.Error())
	case ended:
		return o.series.End(r.now, r.baseline)
	default:
		return o.series.Look(r.now, r.baseline)
	}
}

// look takes a reading, for the log and the picture as well.
func (w *walk) look(ctx context.Context, o *observer, step string) reading {
	r := o.read(ctx)
	switch {
	case ctx.Err() != nil:
	case r.err != nil:
		w.Log.Linef("%s: not measured: %v", step, r.err)
	default:
		w.trace.look(step, float64(w.Record.Weight), r.now, r.baseline)
	}
	return r
}

// judge looks again and again until the step is decided.
func (w *walk) judge(ctx context.Context, o *observer, step string, duration time.Duration) error {
	o.begin(ctx) // before the sessions are told of the step: some tell nothing for a while then
	o.step()
	began, told := time.Now(), time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	limit := duration + w.Timeout
	for {
		r := w.look(ctx, o, step)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		elapsed := time.Since(began)
		results := o.judge(r, elapsed >= duration)
		verdict := w.judged(step, results)
		if time.Since(told) >= tellEvery || elapsed >= duration {
			w.Log.Linef("%s: %s", step, describe(r.now, r.baseline))
			told = time.Now()
		}
		if err := w.Healthy(ctx); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		if w.weight > 0 && len(w.Record.Beside) > 0 {
			if _, err := w.grow(ctx, w.weight); err != nil && ctx.Err() == nil {
				w.Log.Linef("%s: %v", step, err) // the next look tries again
			}
		}
		if w.Record.Steered != nil {
			if err := w.router.Held(ctx); err != nil {
				return fmt.Errorf("%s: %w", step, err)
			}
		}
		switch Decide(verdict, elapsed, duration, limit, w.plan.OnInconclusive) {
		case Advance:
			if len(results) == 0 {
				w.Log.Linef("%s: no check to judge", step)
				return nil
			}
			w.Log.Linef("%s: %s", step, verdict)
			return nil
		case Abort:
			return w.abort(ctx, step, verdict, results)
		case Wait:
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(until(duration - elapsed)):
		case <-tick.C:
		}
	}
}

// until is the wait to the end of the step, or for long where it is over.
func until(left time.Duration) time.Duration {
	if left <= 0 {
		return time.Hour
	}
	return left
}

// failing is the Aborted of a version that fails while its weight is still
// coming true. Queries are left out: they may ask for traffic that has not come
// yet. What ends nothing is not recorded: the step has yet to begin.
func (w *walk) failing(ctx context.Context, o *observer, step string) error {
	r := w.look(ctx, o, step)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var results []analysis.Result
	for i, result := range o.judge(r, false) {
		if o.checks[i].Metric != analysis.Query {
			results = append(results, result)
		}
	}
	if analysis.Together(results) != analysis.Fail {
		return nil
	}
	return w.abort(ctx, step, w.judged(step, results), results)
}

// abort names the checks that decided, with the evidence of the pods.
func (w *walk) abort(ctx context.Context, step string, verdict analysis.Verdict, results []analysis.Result) error {
	var errs []error
	for _, r := range results {
		if r.Verdict == verdict && r.Verdict != analysis.Pass {
			errs = append(errs, fmt.Errorf("%s: check %q: %s: %s", step, r.Check, r.Verdict, r.Detail))
		}
	}
	return &Aborted{Checks: errors.Join(errs...), Verdict: verdict, Evidence: w.Healthy(ctx), Took: len(w.Record.Beside) == 0}
}

// Aborted is the error of a version that did not pass its analysis.
type Aborted struct {
	Checks   error
	Verdict  analysis.Verdict
	Evidence error // what the pods show; may be nil
	Took     bool  // it had taken over already
	Flag     bool  // it was not a version but a flag that did not pass
}

func (a *Aborted) Error() string {
	if a.Evidence == nil {
		return a.Checks.Error()
	}
	return fmt.Sprintf("%v (%v)", a.Checks, a.Evidence)
}

// Next is the next step to take.
func (a *Aborted) Next() string {
	if next, ok := errors.AsType[interface {
		error
		Next() string
	}](a.Evidence); ok && next.Next() != "" {
		return next.Next()
	}
	if a.Verdict == analysis.Inconclusive {
		return "mend what could not be asked, or give it more traffic or a longer step-duration, or set on-inconclusive to hold or advance"
	}
	if a.Flag {
		return "" // whoever closed it says what to do
	}
	if a.Took {
		return "mend the new version"
	}
	return "mend the new version; the live one was not touched by it and serves"
}

// Unwrap gives the checks and the evidence.
func (a *Aborted) Unwrap() []error { return []error{a.Checks, a.Evidence} }

// describe is one line of what was measured.
func describe(now analysis.Measurement, baseline *analysis.Measurement) string {
	text := "new " + numbers(now)
	if baseline != nil {
		text += "; live " + numbers(*baseline)
	}
	return text
}

func numbers(m analysis.Measurement) string {
	var parts []string
	if m.HasRestarts {
		parts = append(parts, fmt.Sprintf("%d restarts", m.Restarts))
	}
	if m.Requests > 0 {
		rate, _ := m.ErrorRate()
		parts = append(parts, fmt.Sprintf("%d requests, %.2f%% errors", m.Requests, 100*rate))
	}
	if p95, ok := m.Latency.Quantile(0.95); ok {
		parts = append(parts, fmt.Sprintf("p95 %v", p95.Round(time.Millisecond)))
	}
	if len(parts) == 0 {
		return "nothing measured"
	}
	return strings.Join(parts, ", ")
}
