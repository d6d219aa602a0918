// Package simulate plays canaries request by request, to measure a judge: how
// often it condemns a version that is as good as the live one, and after how
// many requests it notices one that is worse.
package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/fibership/fibership/internal/analysis"
)

// Canary is a release on its way beside the live version.
type Canary struct {
	Seed       uint64
	Rate       float64   // requests a second, both versions together
	Errors     float64   // share of the live version's requests that fail, on average
	MoreErrors float64   // added to it for the canary
	Slower     float64   // factor on the canary's latency
	Steps      []float64 // weights, each for a minute
	Looks      int       // in a step
	Pods       int       // of the live version; the canary has its share beside them
	Restarts   float64   // of each pod in a minute, on average
	MoreOften  float64   // factor on the canary's restarts; 0: 1
}

// Usual is a canary at 10 % and 50 % of 40 requests a second, as good as the
// live version, of whose requests one in 200 fails.
func Usual(seed uint64) Canary {
	return Canary{Seed: seed, Rate: 40, Errors: 0.005, Slower: 1, Steps: []float64{0.1, 0.5}, Looks: 12}
}

// Judge looks at both versions, as measured since the canary began.
type Judge func(now, base analysis.Measurement, end bool) []analysis.Result

// Outcome is how a canary ended.
type Outcome struct {
	Verdict  analysis.Verdict
	Requests int64           // that the canary had had by then
	By       analysis.Result // what decided; zero where it passed
}

// Run walks the steps under the judge, which aborts on Fail at a look and on
// anything but Pass at a step's end. Errors and latencies of both versions
// drift over time: what happens to both alike is no fault of the canary.
func (c Canary) Run(judge Judge) Outcome {
	random := rand.New(rand.NewPCG(c.Seed, 7))
	var now, base analysis.Measurement
	interval := time.Minute / time.Duration(c.Looks)
	for step, weight := range c.Steps {
		for look := range c.Looks {
			drift := 1 + math.Sin(float64(step*c.Looks+look)/7)
			for range int(c.Rate * interval.Seconds()) {
				if random.Float64() < weight {
					send(random, &now, c.Errors*drift+c.MoreErrors, c.Slower, drift)
				} else {
					send(random, &base, c.Errors*drift, 1, drift)
				}
			}
			now.Window += interval
			base.Window += interval
			if c.Restarts > 0 {
				beside := max(1, int(math.Round(float64(c.Pods)*weight/(1-weight))))
				often := c.MoreOften
				if often == 0 {
					often = 1
				}
				run(random, &now, beside, interval, c.Restarts*drift*often)
				run(random, &base, c.Pods, interval, c.Restarts*drift)
			}
			end := look == c.Looks-1
			results := judge(now, base, end)
			v := analysis.Together(results)
			if v == analysis.Fail || end && v != analysis.Pass {
				return Outcome{v, now.Requests, deciding(results, v)}
			}
		}
	}
	return Outcome{Verdict: analysis.Pass, Requests: now.Requests}
}

func deciding(results []analysis.Result, v analysis.Verdict) analysis.Result {
	for _, r := range results {
		if r.Verdict == v {
			return r
		}
	}
	return analysis.Result{}
}

func send(random *rand.Rand, m *analysis.Measurement, errors, slower, drift float64) {
	m.Requests++
	if random.Float64() < errors {
		m.Errors++
	}
	m.Latency.Add(time.Duration(float64(20*time.Millisecond) * slower * (1 + drift) * math.Exp(0.6*random.NormFloat64())))
}

// run lets pods run for a while, each restarting so often in a minute.
func run(random *rand.Rand, m *analysis.Measurement, pods int, long time.Duration, often float64) {
	m.HasRestarts = true
	m.PodTime += time.Duration(pods) * long
	if often <= 0 {
		return
	}
	for at := random.ExpFloat64(); at < often*float64(pods)*long.Minutes(); at += random.ExpFloat64() {
		m.Restarts++
	}
}

// Compared judges as promote does: by a series of the checks.
func Compared(checks []analysis.Check, steps int) Judge {
	series := analysis.NewSeries(checks, analysis.Rules{Steps: steps})
	return func(now, base analysis.Measurement, end bool) []analysis.Result {
		if end {
			defer series.Next()
			return series.End(now, &base)
		}
		return series.Look(now, &base)
	}
}

// Fixed judges by a limit on the canary's share of failed requests alone, at
// every look that has the least sample, as controllers with thresholds do.
func Fixed(limit float64, least int64) Judge {
	return func(now, _ analysis.Measurement, _ bool) []analysis.Result {
		rate, _ := now.ErrorRate()
		if now.Requests >= least && rate >= limit {
			return []analysis.Result{{Verdict: analysis.Fail}}
		}
		return []analysis.Result{{Verdict: analysis.Pass}}
	}
}

// Figures of a judge over many canaries.
type Figures struct {
	Aborted float64 // share of the canaries as good as the live version that did not pass
	Caught  float64 // share of the worse ones that failed
	Needed  float64 // requests of a worse canary until its end, on average
}

// Measure plays n canaries of each kind: one as good as the live version, and
// one with more errors, under a fresh judge each.
func Measure(n int, canary func(seed uint64) Canary, moreErrors float64, judge func() Judge) Figures {
	var f Figures
	for seed := range uint64(n) {
		if canary(seed).Run(judge()).Verdict != analysis.Pass {
			f.Aborted++
		}
		worse := canary(seed)
		worse.MoreErrors = moreErrors
		got := worse.Run(judge())
		f.Needed += float64(got.Requests)
		if got.Verdict == analysis.Fail {
			f.Caught++
		}
	}
	f.Aborted, f.Caught, f.Needed = f.Aborted/float64(n), f.Caught/float64(n), f.Needed/float64(n)
	return f
}
