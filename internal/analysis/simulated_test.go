package analysis_test

import (
	"flag"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/test/simulate"
)

var runs = flag.Int("runs", 1000, "simulated canaries for each figure")

func checks(t testing.TB, lines ...string) []analysis.Check {
	t.Helper()
	var all []analysis.Check
	for _, line := range lines {
		c, err := analysis.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func TestSeries_abortsAtMostOneEqualVersionInAHundred(t *testing.T) {
	t.Parallel()
	n := *runs
	if testing.Short() {
		n = 200
	}
	all := checks(t, "error-rate worse-than baseline by 1%", "p95 worse-than baseline by 20%",
		"p99 worse-than baseline by 20%", "p50 worse-than baseline by 5%")
	aborted := 0
	for seed := range n {
		canary := simulate.Usual(uint64(seed))
		if got := canary.Run(simulate.Compared(all, len(canary.Steps))); got.Verdict != analysis.Pass {
			aborted++
			t.Logf("run %d: %v after %d requests: %s: %s", seed, got.Verdict, got.Requests, got.By.Check, got.By.Detail)
		}
	}
	t.Logf("%d of %d equal versions aborted", aborted, n)
	if aborted*100 > n {
		t.Errorf("%d of %d equal versions aborted: more than 1 %%", aborted, n)
	}
}

// With no margin at all, and nobody who knows how many steps there will be, the
// bound is the statistics' alone.
func TestSeries_keepsItsBoundWithoutAMargin(t *testing.T) {
	t.Parallel()
	all := checks(t, "error-rate worse-than baseline by 0%")
	for _, errors := range []float64{0.002, 0.05} {
		aborted, n := 0, *runs
		for seed := range n {
			canary := simulate.Usual(uint64(seed))
			canary.Errors = errors
			if canary.Run(simulate.Compared(all, 0)).Verdict != analysis.Pass {
				aborted++
			}
		}
		t.Logf("%d of %d equal versions aborted at %.1f%% errors", aborted, n, 100*errors)
		if aborted*100 > n {
			t.Errorf("%d of %d equal versions aborted at %.1f%% errors: more than 1 %%", aborted, n, 100*errors)
		}
	}
}

// However many pods either has: one beside nine at first, then nine, and
// eighteen beside two.
func TestSeries_comparesRestartsPodByPod(t *testing.T) {
	t.Parallel()
	all := checks(t, "restarts worse-than baseline by 0")
	for _, c := range []struct {
		pods  int
		steps []float64
	}{{9, []float64{0.1, 0.5}}, {2, []float64{0.5, 0.9}}} {
		for _, often := range []float64{0.05, 1} { // of each pod in a minute
			canary := func(seed int, more float64) simulate.Outcome {
				c := simulate.Canary{
					Seed: uint64(seed), Rate: 1, Steps: c.steps, Looks: 12,
					Pods: c.pods, Restarts: often, MoreOften: more,
				}
				return c.Run(simulate.Compared(all, len(c.Steps)))
			}
			aborted, caught, n := 0, 0, *runs
			for seed := range n {
				if canary(seed, 1).Verdict != analysis.Pass {
					aborted++
				}
				if canary(seed, 10).Verdict == analysis.Fail {
					caught++
				}
			}
			t.Logf("%d live pods, %g restarts a minute each: %d of %d equal versions aborted, %d caught that restart ten times as often", c.pods, often, aborted, n, caught)
			if aborted*100 > n {
				t.Errorf("%d live pods, %g restarts a minute each: %d of %d equal versions aborted: more than 1 %%", c.pods, often, aborted, n)
			}
			if often == 1 && caught*100 < 95*n {
				t.Errorf("%d live pods: only %d of %d caught that restart ten times as often", c.pods, caught, n)
			}
		}
	}
}

func TestSeries_catchesWhatIsWorse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		check  string
		worsen func(*simulate.Canary)
		least  int // of 100
	}{
		{"two points more errors", "error-rate worse-than baseline by 1%", func(c *simulate.Canary) { c.MoreErrors = 0.02 }, 90},
		{"broken", "error-rate worse-than baseline by 1%", func(c *simulate.Canary) { c.MoreErrors = 0.9 }, 100},
		{"half as slow again", "p95 worse-than baseline by 20%", func(c *simulate.Canary) { c.Slower = 1.5 }, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const n = 100
			caught, total := 0, int64(0)
			for seed := range uint64(n) {
				canary := simulate.Usual(seed)
				c.worsen(&canary)
				if got := canary.Run(simulate.Compared(checks(t, c.check), len(canary.Steps))); got.Verdict == analysis.Fail {
					caught++
					total += got.Requests
				}
			}
			t.Logf("%d of %d caught, after %d requests of the canary on average", caught, n, total/max(1, int64(caught)))
			if caught < c.least {
				t.Errorf("%d of %d caught, want at least %d", caught, n, c.least)
			}
		})
	}
}
