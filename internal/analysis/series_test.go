package analysis

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

var runs = flag.Int("runs", 1000, "simulated releases for each figure")

// release is a canary that is simulated request by request.
type release struct {
	random     *rand.Rand
	rate       float64 // requests a second, both versions together
	errors     float64 // share of the baseline's requests that fail
	moreErrors float64 // added to it for the canary
	slower     float64 // factor on the canary's latency
	steps      []float64
	looks      int // in a step of a minute
}

// outcome is how a release ended, and after how many requests of the canary.
type outcome struct {
	verdict  Verdict
	requests int64
	by       Result
}

// run walks the steps under the judge, which aborts on Fail at a look and on
// anything but Pass at a step's end. Errors and latencies of both versions
// drift over time: what happens to both alike is no fault of the canary.
func (r release) run(judge func(now, base Measurement, end bool) []Result) outcome {
	var now, base Measurement
	for step, weight := range r.steps {
		for look := range r.looks {
			interval := time.Minute / time.Duration(r.looks)
			drift := 1 + math.Sin(float64(step*r.looks+look)/7)
			for range int(r.rate * interval.Seconds()) {
				if r.random.Float64() < weight {
					r.send(&now, r.errors*drift+r.moreErrors, r.slower, drift)
				} else {
					r.send(&base, r.errors*drift, 1, drift)
				}
			}
			now.Window += interval
			base.Window += interval
			end := look == r.looks-1
			results := judge(now, base, end)
			v := Together(results)
			if v == Fail || end && v != Pass {
				for _, result := range results {
					if result.Verdict == v {
						return outcome{v, now.Requests, result}
					}
				}
			}
		}
	}
	return outcome{verdict: Pass, requests: now.Requests}
}

func (r release) send(m *Measurement, errors, slower, drift float64) {
	m.Requests++
	if r.random.Float64() < errors {
		m.Errors++
	}
	m.Latency.Add(time.Duration(float64(20*time.Millisecond) * slower * (1 + drift) * math.Exp(0.6*r.random.NormFloat64())))
}

func newRelease(seed uint64) release {
	return release{
		random: rand.New(rand.NewPCG(seed, 7)),
		rate:   40, errors: 0.005, slower: 1, steps: []float64{0.1, 0.5}, looks: 12,
	}
}

func compared(t testing.TB) *Series {
	return NewSeries([]Check{
		parse(t, "error-rate worse-than baseline by 1%"),
		parse(t, "p95 worse-than baseline by 20%"),
		parse(t, "p99 worse-than baseline by 20%"),
		parse(t, "p50 worse-than baseline by 5%"),
	}, Rules{})
}

func sequential(s *Series) func(now, base Measurement, end bool) []Result {
	return func(now, base Measurement, end bool) []Result {
		if end {
			defer s.Next()
			return s.End(now, &base)
		}
		return s.Look(now, &base)
	}
}

// fixed judges by a limit alone at every look that has the least sample, as
// controllers with thresholds do.
func fixed(limit float64, least int64) func(now, base Measurement, end bool) []Result {
	return func(now, _ Measurement, _ bool) []Result {
		rate, _ := now.ErrorRate()
		if now.Requests >= least && rate >= limit {
			return []Result{{Verdict: Fail}}
		}
		return []Result{{Verdict: Pass}}
	}
}

func TestSeries_abortsAtMostOneEqualVersionInAHundred(t *testing.T) {
	n := *runs
	if testing.Short() {
		n = 200
	}
	aborted := 0
	for seed := range n {
		if got := newRelease(uint64(seed)).run(sequential(compared(t))); got.verdict != Pass {
			aborted++
			t.Logf("run %d: %v after %d requests: %s: %s", seed, got.verdict, got.requests, got.by.Check, got.by.Detail)
		}
	}
	t.Logf("%d of %d equal versions aborted", aborted, n)
	if aborted*100 > n {
		t.Errorf("%d of %d equal versions aborted: more than 1 %%", aborted, n)
	}
}

func TestSeries_catchesWhatIsWorse(t *testing.T) {
	for _, c := range []struct {
		name   string
		check  string
		worsen func(*release)
		least  int // of 100
	}{
		{"two points more errors", "error-rate worse-than baseline by 1%", func(r *release) { r.moreErrors = 0.02 }, 80},
		{"broken", "error-rate worse-than baseline by 1%", func(r *release) { r.moreErrors = 0.9 }, 100},
		{"half as slow again", "p95 worse-than baseline by 20%", func(r *release) { r.slower = 1.5 }, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			const n = 100
			caught, total := 0, int64(0)
			for seed := range uint64(n) {
				r := newRelease(seed)
				c.worsen(&r)
				if got := r.run(sequential(NewSeries([]Check{parse(t, c.check)}, Rules{}))); got.verdict == Fail {
					caught++
					total += got.requests
				}
			}
			t.Logf("%d of %d caught, after %d requests of the canary on average", caught, n, total/max(1, int64(caught)))
			if caught < c.least {
				t.Errorf("%d of %d caught, want at least %d", caught, n, c.least)
			}
		})
	}
}

func TestSeries_startsAnewWithEachStep(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate < 5%")}, Rules{})
	first := requests(1000, 0, 0)
	if v := Together(s.End(first, nil)); v != Pass {
		t.Fatalf("first step: %v", v)
	}
	s.Next()
	second := requests(1100, 50, 0) // half of the new hundred failed
	if got := s.Look(second, nil)[0]; got.Verdict != Fail || got.Samples != 100 {
		t.Errorf("second step: got %+v, want a failure over 100 requests", got)
	}
}

func TestSeries_waitsForMoreBeforeChanceFails(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate < 1%"), parse(t, "rate > 50/s"), parse(t, "restarts < 1")}, Rules{})
	m := requests(100, 1, 0)
	m.HasRestarts = true
	looked := s.Look(m, nil)
	if looked[0].Verdict != Inconclusive || looked[1].Verdict != Inconclusive || looked[2].Verdict != Pass {
		t.Errorf("in the middle: %+v", looked)
	}
	m.Restarts = 1
	if got := s.Look(m, nil)[2]; got.Verdict != Fail {
		t.Errorf("a restart: %+v", got)
	}
	if ended := s.End(m, nil); ended[0].Verdict != Fail || ended[1].Verdict != Fail {
		t.Errorf("at the end: %+v", ended)
	}
}

func TestSeries_keepsComparingWhereTheBaselineWasAwayOnce(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate worse-than baseline by 1%")}, Rules{})
	base := requests(1000, 0, 0)
	if v := s.Look(requests(100, 0, 0), &base)[0].Verdict; v != Pass {
		t.Errorf("at first: %v", v)
	}
	if v := s.Look(requests(110, 3, 0), nil)[0].Verdict; v != Inconclusive {
		t.Errorf("without a baseline: %v", v)
	}
	base = requests(1100, 0, 0)
	if got := s.Look(requests(200, 30, 0), &base)[0]; got.Verdict != Fail {
		t.Errorf("back again: %+v", got)
	}
}

// BenchmarkSeries reports how many equal versions are aborted, and after how
// many of the canary's requests two points more errors are caught, beside
// fixed thresholds with the least sample that keeps them as quiet.
func BenchmarkSeries(b *testing.B) {
	judges := []struct {
		name  string
		judge func() func(now, base Measurement, end bool) []Result
	}{
		{"sequential", func() func(now, base Measurement, end bool) []Result {
			return sequential(NewSeries([]Check{parse(b, "error-rate worse-than baseline by 1%")}, Rules{}))
		}},
		{"fixed1%from1", func() func(now, base Measurement, end bool) []Result { return fixed(0.01, 1) }},
		{"fixed2%from1200", func() func(now, base Measurement, end bool) []Result { return fixed(0.02, 1200) }},
		{"fixed2%from800", func() func(now, base Measurement, end bool) []Result { return fixed(0.02, 800) }},
		{"fixed1.5%from100", func() func(now, base Measurement, end bool) []Result { return fixed(0.015, 100) }},
		{"fixed1.5%from400", func() func(now, base Measurement, end bool) []Result { return fixed(0.015, 400) }},
		{"fixed1.5%from600", func() func(now, base Measurement, end bool) []Result { return fixed(0.015, 600) }},
		{"fixed1.5%from800", func() func(now, base Measurement, end bool) []Result { return fixed(0.015, 800) }},
	}
	for _, j := range judges {
		b.Run(j.name, func(b *testing.B) {
			for b.Loop() {
				var aborted, caught, needed int64
				for seed := range uint64(*runs) {
					if newRelease(seed).run(j.judge()).verdict != Pass {
						aborted++
					}
					worse := newRelease(seed)
					worse.moreErrors = 0.02
					got := worse.run(j.judge())
					needed += got.requests
					if got.verdict == Fail {
						caught++
					}
				}
				n := float64(*runs)
				b.ReportMetric(100*float64(aborted)/n, "%aborted-equal")
				b.ReportMetric(100*float64(caught)/n, "%caught")
				b.ReportMetric(float64(needed)/n, "requests/caught")
			}
		})
	}
}
