package analysis

import (
	"fmt"
	"math"
	"time"
)

// Rules bound how readily a judge speaks. The zero value takes the defaults.
type Rules struct {
	// Least is the number of requests, of either version, below which no check
	// on requests passes; 20 by default. A check may need more: [Rules.Judge].
	Least int64
	// Alpha is the chance that a version that is as good as the baseline is
	// condemned by a comparison; 1 % by default. In a Series it holds for all
	// its comparisons, looks and steps together.
	Alpha float64
	// Steps is how many steps a Series will have, where that is known: each
	// end then has an equal share in Alpha.
	Steps int
}

func (r Rules) least() int64 {
	if r.Least > 0 {
		return r.Least
	}
	return 20
}

func (r Rules) alpha() float64 {
	if r.Alpha > 0 && r.Alpha < 1 {
		return r.Alpha
	}
	return 0.01
}

// Judge looks once, with the default rules.
func Judge(c Check, now Measurement, baseline *Measurement) Result {
	return Rules{}.Judge(c, now, baseline)
}

// Judge looks once, at what was measured from begin to end.
//
// A limit is judged as written when there are enough requests that a single
// one weighs no more than what is asked: error-rate < 1% needs 100, p99 needs
// 100, p95 and everything coarser the Least. With fewer it fails where the
// measurement could hardly come from a version that keeps the limit (exact
// binomial test), and is inconclusive otherwise. Restarts and queries count
// as they are.
//
// A comparison fails where the version is worse by more than the value and
// the difference is sound: Fisher's exact test on failed requests, or on
// requests slower than the quantile of both versions together. It needs
// enough requests of both, as limits do. Restarts are compared for as many pods
// in as much time, by the exact test of two Poisson rates. A query has no requests to count: it is
// compared as it is, at the end.
func (r Rules) Judge(c Check, now Measurement, baseline *Measurement) Result {
	if !c.Baseline {
		return r.limit(c, now, func(bad, all int64, share float64) bool {
			return overLimit(bad, all, share) <= r.alpha()
		}, true)
	}
	return r.compare(c, now, baseline, func(t table) bool { return fisher(t) <= r.alpha() }, true)
}

// reading is what a check looks at in a measurement.
type reading struct {
	value    float64
	has      bool
	samples  int64
	requests bool // a statement about requests: too few of them say nothing
	settled  bool // more data can only make it larger
	note     string
}

func (c Check) read(m Measurement) reading {
	switch c.Metric {
	case ErrorRate:
		v, ok := m.ErrorRate()
		return reading{value: v, has: ok, samples: m.Requests, requests: true}
	case P50, P90, P95, P99, Max:
		q, _ := c.Metric.Quantile()
		d, ok := m.Latency.Quantile(q)
		r := reading{value: d.Seconds(), has: ok, samples: m.Latency.Count(), requests: true, settled: q == 1}
		if m.Latency.Interpolated() {
			r.note = ", interpolated within histogram buckets"
			r.settled = false
		}
		return r
	case Rate:
		if m.Window <= 0 || m.Requests <= 0 {
			return reading{requests: true}
		}
		return reading{value: float64(m.Requests) / m.Window.Seconds(), has: true, samples: m.Requests, requests: true}
	case Restarts:
		return reading{value: float64(m.Restarts), has: m.HasRestarts, samples: m.Requests, settled: true}
	case Query:
		v, ok := m.Queries[c.Query]
		return reading{value: v, has: ok && !math.IsNaN(v) && !math.IsInf(v, 0), settled: true}
	}
	return reading{}
}

// missing says why there is nothing to judge.
func (c Check) missing(m Measurement) string {
	if why := m.Unanswered[c.Query]; why != "" {
		return "nothing was measured: " + why
	}
	return "nothing was measured"
}

// need is the number of requests from which on the check is judged as written.
func (r Rules) need(c Check) int64 {
	share := 0.0 // that one request must not outweigh
	switch q, isLatency := c.Metric.Quantile(); {
	case c.Metric == ErrorRate:
		share = c.Value
	case isLatency:
		share = 1 - q
	}
	if share <= 0 {
		return r.least()
	}
	return max(r.least(), int64(math.Ceil(min(1e12, 1/share-1e-9))))
}

func (c Check) holds(v float64) bool {
	switch c.Operator {
	case Less:
		return v < c.Value
	case AtMost:
		return v <= c.Value
	case More:
		return v > c.Value
	case AtLeast:
		return v >= c.Value
	}
	return false
}

// bad is the number of requests that speak against a limit, and the share of
// them that it allows; false where single requests do not.
func (c Check) bad(m Measurement) (bad, all int64, share float64, ok bool) {
	if c.Operator != Less && c.Operator != AtMost {
		return 0, 0, 0, false
	}
	q, isLatency := c.Metric.Quantile()
	switch {
	case c.Metric == ErrorRate:
		return m.Errors, m.Requests, c.Value, true
	case isLatency:
		return m.Latency.Above(time.Duration(c.Value * float64(time.Second))), m.Latency.Count(), 1 - q, true
	}
	return 0, 0, 0, false
}

// limit judges a check without a baseline. sound says whether so many bad
// requests are too many surely; ended that no more data will come.
func (r Rules) limit(c Check, m Measurement, sound func(bad, all int64, share float64) bool, ended bool) Result {
	read := c.read(m)
	result := Result{Check: c.Text, Samples: read.samples}
	if !read.has {
		result.Detail = c.missing(m)
		return result
	}
	result.Measured = c.Metric.show(read.value)
	bad, all, share, counts := c.bad(m)
	enough := !read.requests || read.samples >= r.need(c)
	holds := c.holds(read.value)
	of := ""
	if read.requests {
		of = fmt.Sprintf(" over %s", plural(read.samples, "request"))
	}
	switch {
	case !holds && (read.settled || ended && enough || counts && sound(bad, all, share)):
		result.Verdict = Fail
		result.Detail = fmt.Sprintf("%s%s%s", result.Measured, of, read.note)
	case !enough:
		result.Detail = fmt.Sprintf("%s%s: at least %d are needed to judge", result.Measured, of, r.need(c))
	case holds:
		result.Verdict = Pass
		result.Detail = fmt.Sprintf("%s%s%s", result.Measured, of, read.note)
	default:
		result.Detail = fmt.Sprintf("%s%s so far, which may still be chance", result.Measured, of)
	}
	return result
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
