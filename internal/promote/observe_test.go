package promote

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/progress"
)

// given is a session that tells what it is given, and remembers what it was
// asked.
type given struct {
	m     analysis.Measurement
	err   error
	asked []string
}

func (g *given) Read(context.Context) (analysis.Measurement, error) {
	g.asked = append(g.asked, "read")
	return g.m, g.err
}

func (g *given) Step() { g.asked = append(g.asked, "step") }

func (g *given) Close() {}

// podless leads traffic to nobody.
type podless struct{ Router }

func (podless) CanaryPods(context.Context) ([]corev1.Pod, error) { return nil, nil }
func (podless) LivePods(context.Context) ([]corev1.Pod, error)   { return nil, nil }

func observing(t *testing.T, fresh *given, lines ...string) (*walk, *observer) {
	t.Helper()
	var checks []analysis.Check
	for _, line := range lines {
		c, err := analysis.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		checks = append(checks, c)
	}
	session := &deploy.Session{Target: deploy.Target{Log: progress.Discard}}
	return &walk{Attempt: &deploy.Attempt{Session: session}, router: podless{}}, newObserver(fresh, checks, 1)
}

func TestObserver_comparesFromTheFirstReadingThatSucceeds(t *testing.T) {
	t.Parallel()
	fresh, live := &given{}, &given{m: analysis.Measurement{Requests: 40_000}, err: errors.New("it is away")}
	_, o := observing(t, fresh, "error-rate worse-than baseline by 1%")
	o.live = live
	if o.begin(t.Context()); o.begun {
		t.Error("it compares from where nothing could be read")
	}
	live.err = nil
	o.begin(t.Context())
	fresh.m, live.m = analysis.Measurement{Requests: 100, Errors: 20}, analysis.Measurement{Requests: 40_900, Errors: 180}
	o.begin(t.Context())
	if got := o.judge(o.read(t.Context()), false)[0]; got.Verdict != analysis.Pass {
		t.Errorf("both fail alike: %+v", got)
	}
}

func TestJudge_readsWhatWasBeforeTheStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fresh := &given{m: analysis.Measurement{HasRestarts: true}}
		w, o := observing(t, fresh, "restarts < 1")
		if err := w.judge(t.Context(), o, "canary at 10%", 3*time.Second); err != nil {
			t.Fatal(err)
		}
		if len(fresh.asked) < 3 || !slices.Equal(fresh.asked[:3], []string{"read", "step", "read"}) {
			t.Errorf("it was asked %v", fresh.asked)
		}
	})
}

func TestJudge_knowsRestartsWhereRequestsCannotBeMeasured(t *testing.T) {
	t.Parallel()
	away := errors.New("no new samples")
	for name, c := range map[string]struct {
		restarts int
		checks   []string
		want     analysis.Verdict
		after    time.Duration
	}{
		"restarts alone are asked for": {0, []string{"restarts < 1"}, analysis.Pass, time.Minute},
		"it restarted":                 {1, []string{"restarts < 1", "error-rate < 1%"}, analysis.Fail, 0},
		"requests are asked for":       {0, []string{"restarts < 1", "error-rate < 1%"}, analysis.Inconclusive, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fresh := &given{m: analysis.Measurement{HasRestarts: true, Restarts: c.restarts}, err: away}
				w, o := observing(t, fresh, c.checks...)
				began := time.Now()
				err := w.judge(t.Context(), o, "green without traffic", time.Minute)
				aborted, failed := errors.AsType[*Aborted](err)
				if failed == (c.want == analysis.Pass) || failed && aborted.Verdict != c.want || time.Since(began) != c.after {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(began), c.want, c.after)
				}
			})
		})
	}
}

func TestProve_endsWithAVersionThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fresh analysis.Measurement
		check string
		fails bool
		after time.Duration
	}{
		"it fails":                        {analysis.Measurement{Requests: 100, Errors: 50}, "error-rate < 1%", true, lookEvery},
		"it is well":                      {analysis.Measurement{Requests: 100}, "error-rate < 1%", false, idleAfter},
		"it has no traffic to be seen by": {analysis.Measurement{Queries: map[string]float64{"x": 0}}, `query("x") > 5`, false, idleAfter},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, o := observing(t, &given{m: c.fresh}, c.check)
				began := time.Now()
				_, err := w.prove(t.Context(), "canary", 0, 10, func(ctx context.Context) error { return w.failing(ctx, o, "canary at 10%") })
				_, failed := errors.AsType[*Aborted](err)
				if failed != c.fails || !failed && err != nil || time.Since(began) != c.after {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if recorded := len(w.Record.Checks) > 0; recorded != c.fails {
					t.Errorf("in the record: %+v", w.Record.Checks)
				}
			})
		})
	}
}
