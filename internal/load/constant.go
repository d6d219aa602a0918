package load

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/fibership/fibership/internal/analysis"
)

// mostProblems bounds the kinds of problems that a report tells apart.
const mostProblems = 10

// Report is what a load came to, the warm-up left out.
type Report struct {
	analysis.Measurement
	Began    time.Time        `json:"began,omitzero"`     // of the window
	Statuses map[int]int64    `json:"statuses,omitempty"` // requests by status; 0: no answer
	Problems map[string]int64 `json:"problems,omitempty"` // why there was no answer, the ten kinds first seen
}

// Run sends the load to the service whose root is base, at a constant rate
// however slow the answers are. A latency counts from the moment at which the
// request was due, so one that waits for a busy sender waits in the figures
// too (no coordinated omission). Statuses of 500 and more, and no answer
// within the timeout, are errors. When ctx ends, Run returns at once with
// what was measured so far and the context's cause.
func (s Spec) Run(ctx context.Context, client *http.Client, base *url.URL) (Report, error) {
	path, err := url.ParseRequestURI(s.Path)
	if err != nil {
		return Report{}, fmt.Errorf("path %q: %w", s.Path, err)
	}
	to := base.JoinPath(path.EscapedPath())
	to.RawQuery = path.RawQuery

	limited := *client
	limited.Timeout = s.Timeout
	attacker := vegeta.NewAttacker(
		vegeta.Client(&limited), vegeta.MaxBody(0),
		vegeta.MaxWorkers(uint64(math.Ceil(s.Rate*s.Timeout.Seconds()))+16),
	)
	interval := time.Duration(float64(time.Second) / s.Rate)
	began := time.Now()
	results := attacker.Attack(
		vegeta.NewStaticTargeter(vegeta.Target{Method: s.Method, URL: to.String()}),
		pacer{interval: interval, all: uint64(math.Ceil(float64(s.WarmUp+s.Duration) / float64(interval)))}, 0, "",
	)
	report := Report{Statuses: map[int]int64{}, Problems: map[string]int64{}}
	from := began.Add(s.WarmUp)
	report.Began = from.UTC().Round(0)
	last := from
	for {
		select {
		case <-ctx.Done():
			attacker.Stop()
			go func() {
				for range results { // what is under way ends within the timeout
				}
			}()
			report.Window = min(s.Duration, max(0, time.Since(from)))
			return report, context.Cause(ctx)
		case r, more := <-results:
			if !more {
				report.Window = max(s.Duration, last.Sub(from))
				return report, nil
			}
			due := began.Add(time.Duration(r.Seq) * interval) //nolint:gosec // fewer than 2^63
			if due.Before(from) {
				continue
			}
			if r.Timestamp.After(last) {
				last = r.Timestamp
			}
			report.count(r, due)
		}
	}
}

// pacer sends all requests, each when it is due: a sender that was held up
// sends the rest late, and the figures tell, rather than leave them out.
type pacer struct {
	interval time.Duration
	all      uint64
}

func (p pacer) Pace(elapsed time.Duration, sent uint64) (wait time.Duration, stop bool) {
	return max(0, time.Duration(sent)*p.interval-elapsed), sent >= p.all //nolint:gosec // fewer than 2^63
}

func (p pacer) Rate(time.Duration) float64 { return float64(time.Second) / float64(p.interval) }

func (r *Report) count(result *vegeta.Result, due time.Time) {
	r.Requests++
	r.Statuses[int(result.Code)]++
	if result.Code == 0 || result.Code >= http.StatusInternalServerError {
		r.Errors++
	}
	if result.Code == 0 {
		if problem := clean(result.Error); r.Problems[problem] > 0 || len(r.Problems) < mostProblems {
			r.Problems[problem]++
		}
	}
	r.Latency.Add(result.End().Sub(due))
}

// Merge is the report of workers that ran side by side.
func (r Report) Merge(other Report) Report {
	sum := Report{Statuses: map[int]int64{}, Problems: map[string]int64{}}
	sum.Began, sum.Window = together(r, other)
	sum.Requests = r.Requests + other.Requests
	sum.Errors = r.Errors + other.Errors
	sum.Latency = r.Latency.Merge(other.Latency)
	for _, part := range []Report{r, other} {
		for status, n := range part.Statuses {
			sum.Statuses[status] += n
		}
		for problem, n := range part.Problems {
			sum.Problems[problem] += n
		}
	}
	return sum
}

// apart is the share of the window by which workers may begin apart and still
// count as one: no rate is told more exactly.
const apart = 0.01

// together is the window of both. Workers that did not send at the same time
// never reached their rates together: the window is then longer than theirs.
func together(a, b Report) (time.Time, time.Duration) {
	longer := max(a.Window, b.Window)
	switch {
	case a.Began.IsZero():
		return b.Began, longer
	case b.Began.IsZero():
		return a.Began, longer
	case b.Began.Before(a.Began):
		a, b = b, a
	}
	span := max(a.Window, b.Began.Sub(a.Began)+b.Window)
	if float64(span-longer) <= apart*float64(longer) {
		span = longer
	}
	return a.Began, span
}
