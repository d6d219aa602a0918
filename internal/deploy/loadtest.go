package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/load"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// LoadTest is a test by a constant load, judged by thresholds.
type LoadTest struct {
	Spec       load.Spec
	Front      Front
	Workers    *Workers // who sends from inside the cluster; nil: we do, through the API server
	Thresholds []analysis.Check
}

const heartbeat = 14 * time.Second

// Ready refuses workers that could not run.
func (t LoadTest) Ready(ctx context.Context, s *Session) error {
	if t.Workers == nil {
		return nil
	}
	return s.admit(ctx, t.Workers.job)
}

// text says how the load is made: only equal ones are compared.
func (t LoadTest) text() string {
	if t.Workers == nil {
		return t.Spec.String() + " from=runner"
	}
	return t.Spec.String() + " from=cluster"
}

// Run sends the load, judges it and puts it into the record.
func (t LoadTest) Run(ctx context.Context, s *Session, r *release.Record) ([]analysis.Result, error) {
	defer s.Log.Group("Load test: " + t.text())()
	before, counted := restarts(ctx, s, *r)
	report, err := t.send(ctx, s)
	if err != nil {
		return t.undecided(err), fmt.Errorf("load test: %w", err)
	}
	if after, ok := restarts(ctx, s, *r); ok && counted {
		report.Restarts, report.HasRestarts = max(0, after-before), true
	}
	measured := &release.Load{Text: t.text(), Measurement: report.Measurement, Statuses: report.Statuses, Problems: report.Problems}
	var baseline *analysis.Measurement
	if was, ok := s.History.Loaded(measured.Text); ok {
		measured.Against, baseline = was.Revision, &was.Load.Measurement
	}
	r.Load = measured
	s.Log.Linef("load test: %s", Figures(*measured))
	var results []analysis.Result
	for _, check := range t.Thresholds {
		result := threshold(check, report.Measurement, baseline)
		s.Log.Linef("threshold %s: %s %s", result.Check, result.Verdict, result.Detail)
		results = append(results, result)
	}
	return results, nil
}

// threshold judges a check on a load test. The first of its kind has nothing to
// compare with, which fails no release; where nothing was measured, it does.
func threshold(check analysis.Check, now analysis.Measurement, baseline *analysis.Measurement) analysis.Result {
	result := analysis.Judge(check, now, baseline)
	if check.Baseline && baseline == nil && result.Measured != "" {
		result.Exempt, result.Detail = true, "first load test of this kind: nothing to compare with; the next one is compared with this"
	}
	return result
}

// send makes the load and measures it.
func (t LoadTest) send(ctx context.Context, s *Session) (load.Report, error) {
	if t.Workers != nil {
		return t.Workers.run(ctx, s)
	}
	client, base, err := s.Cluster.ServiceURL(t.Front.Namespace, t.Front.Service, t.Front.Port)
	if err != nil {
		return load.Report{}, err
	}
	began, all := time.Now(), t.Spec.WarmUp+t.Spec.Duration
	defer progress.Beat(ctx, s.Log, heartbeat, func() string {
		return fmt.Sprintf("load test: %v of %v", time.Since(began).Round(time.Second), all)
	})()
	return t.Spec.Run(ctx, client, base)
}

// undecided is the thresholds of a load test that came to no end.
func (t LoadTest) undecided(err error) []analysis.Result {
	var results []analysis.Result
	for _, check := range t.Thresholds {
		results = append(results, analysis.Result{Check: check.Text, Detail: "the load test came to no end: " + firstLine(err)})
	}
	return results
}

// restarts counts those of the release's pods; false where it cannot be known.
func restarts(ctx context.Context, s *Session, r release.Record) (int, bool) {
	pods, err := Pods(ctx, s.Cluster, r)
	return metrics.Restarts(pods), err == nil
}

// Figures is a load test in a line.
func Figures(l release.Load) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests in %v", l.Requests, l.Window.Round(time.Millisecond))
	if l.Window > 0 {
		fmt.Fprintf(&b, " (%.1f/s)", float64(l.Requests)/l.Window.Seconds())
	}
	fmt.Fprintf(&b, ", %d failed", l.Errors)
	for _, metric := range []analysis.Metric{analysis.P50, analysis.P95, analysis.P99, analysis.Max} {
		q, _ := metric.Quantile()
		if d, ok := l.Latency.Quantile(q); ok {
			fmt.Fprintf(&b, ", %s %v", metric, d.Round(10*time.Microsecond))
		}
	}
	for _, problem := range slices.Sorted(maps.Keys(l.Problems)) {
		fmt.Fprintf(&b, "; %d × %s", l.Problems[problem], problem)
	}
	return b.String()
}
