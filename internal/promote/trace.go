package promote

import (
	"time"

	"github.com/fibership/fibership/internal/analysis"
)

// Sample is one look at a promotion under way: what had been measured since
// the look before.
type Sample struct {
	At     time.Duration // since the walk began
	Step   string        // the step that was looked at
	Weight float64       // share of traffic that the new version had, in percent
	Fresh  Reading       // the new version
	Live   Reading       // the version live beside it; zero where there was none
}

// Reading is what one version did between two looks.
type Reading struct {
	Requests int64
	Errors   int64
	P95      time.Duration // 0: unknown
}

// ErrorRate is the share of requests that failed; false without requests.
func (r Reading) ErrorRate() (float64, bool) {
	if r.Requests <= 0 {
		return 0, false
	}
	return float64(r.Errors) / float64(r.Requests), true
}

// trace gathers the samples of a walk. The zero value is ready.
type trace struct {
	began   time.Time
	samples []Sample
	fresh   analysis.Measurement // as of the look before
	live    analysis.Measurement
}

// mostSamples bounds what a long watch gathers: then every second one goes, and
// the picture keeps its shape.
const mostSamples = 400

// look adds what is new since the look before. A new observer begins to count
// anew, which shows as less than before.
func (t *trace) look(step string, weight float64, now analysis.Measurement, baseline *analysis.Measurement) {
	if t.began.IsZero() {
		t.began = time.Now()
	}
	s := Sample{At: time.Since(t.began), Step: step, Weight: weight, Fresh: since(now, &t.fresh)}
	if baseline != nil {
		s.Live = since(*baseline, &t.live)
	}
	t.samples = append(t.samples, s)
	if len(t.samples) > mostSamples {
		t.samples = thinned(t.samples)
	}
}

func since(now analysis.Measurement, before *analysis.Measurement) Reading {
	was := *before
	if now.Requests < was.Requests || now.Errors < was.Errors {
		was = analysis.Measurement{}
	}
	*before = now
	before.Latency = analysis.Latencies{} // only the counts are compared: quantiles are told as they stand
	p95, _ := now.Latency.Quantile(0.95)
	return Reading{Requests: now.Requests - was.Requests, Errors: now.Errors - was.Errors, P95: p95}
}

// thinned adds two samples each up to one.
func thinned(all []Sample) []Sample {
	var out []Sample
	for i := 0; i < len(all); i += 2 {
		s := all[i]
		if i+1 < len(all) {
			next := all[i+1]
			next.Fresh = sum(s.Fresh, next.Fresh)
			next.Live = sum(s.Live, next.Live)
			s = next
		}
		out = append(out, s)
	}
	return out
}

func sum(a, b Reading) Reading {
	return Reading{Requests: a.Requests + b.Requests, Errors: a.Errors + b.Errors, P95: b.P95}
}
