// Package analysis holds the one grammar in which releases are judged — by
// load tests, canaries and watches alike — and the judge. It knows nothing of
// who measures or where traffic goes.
//
// A check is judged in one of two ways. [Judge] looks once, at a finished
// measurement: a load test, the end of a step. A [Series] looks as often as
// one likes while a measurement grows, and still condemns a version that is
// as good as the other no more often than [Rules.Alpha] allows.
package analysis

import (
	"fmt"
	"time"
)

// Verdict is what a check comes to. Its zero value promotes nothing.
type Verdict int

// The verdicts. No data is Inconclusive, never Pass.
const (
	Inconclusive Verdict = iota
	Pass
	Fail
)

// String is "inconclusive", "pass" or "fail".
func (v Verdict) String() string {
	switch v {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case Inconclusive:
	}
	return "inconclusive"
}

// MarshalText writes the verdict as String does.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Verdict) UnmarshalText(text []byte) error {
	for _, known := range []Verdict{Inconclusive, Pass, Fail} {
		if string(text) == known.String() {
			*v = known
			return nil
		}
	}
	return fmt.Errorf("verdict %.20q: expected inconclusive, pass or fail", text)
}

// Result is one check as it was judged: what records, outputs and summaries
// show.
type Result struct {
	Check    string  `json:"check"`              // as written
	Step     string  `json:"step,omitempty"`     // in which it was judged, empty: there was but one
	Verdict  Verdict `json:"verdict"`            // "pass", "fail" or "inconclusive"
	Measured string  `json:"measured,omitempty"` // in the check's unit, e.g. "0.4%" or "212ms"
	Detail   string  `json:"detail,omitempty"`   // why, in a sentence
	Samples  int64   `json:"samples,omitempty"`
	// Exempt says that the check is told and counts for nothing: it compares, and
	// there is nothing to compare with yet. Its verdict is Inconclusive.
	Exempt bool `json:"exempt,omitempty"`
}

// Together is the verdict over all results: Fail if any fails, else
// Inconclusive if any is, else Pass. Without results it is Pass: nothing was
// asked. What is exempt does not count.
func Together(results []Result) Verdict {
	all := Pass
	for _, r := range results {
		switch {
		case r.Exempt:
		case r.Verdict == Fail:
			return Fail
		case r.Verdict == Inconclusive:
			all = Inconclusive
		}
	}
	return all
}

// Measurement is what was seen of one version in Window. Counts are of whole
// requests; Errors are those that got a server error (5xx) or no answer.
type Measurement struct {
	Window      time.Duration      `json:"window"` // in nanoseconds
	Requests    int64              `json:"requests"`
	Errors      int64              `json:"errors"`
	Latency     Latencies          `json:"latency,omitzero"`
	Restarts    int                `json:"restarts,omitempty"`
	HasRestarts bool               `json:"hasRestarts,omitempty"` // false: nobody counted restarts
	PodTime     time.Duration      `json:"podTime,omitempty"`     // that pods ran in which Restarts were counted, added up; 0: unknown
	Queries     map[string]float64 `json:"queries,omitempty"`     // by Check.Query; a query without data is absent
	Unanswered  map[string]string  `json:"unanswered,omitempty"`  // by Check.Query: why it has no data
}

// ErrorRate is the share of requests that failed, 0 to 1; false without
// requests.
func (m Measurement) ErrorRate() (float64, bool) {
	if m.Requests <= 0 {
		return 0, false
	}
	return float64(m.Errors) / float64(m.Requests), true
}

// Sub is what happened after earlier, a reading of the same measurement.
// Counts never go below zero. Queries are m's own: they have no difference.
func (m Measurement) Sub(earlier Measurement) Measurement {
	m.Window = max(0, m.Window-earlier.Window)
	m.Requests = max(0, m.Requests-earlier.Requests)
	m.Errors = min(m.Requests, max(0, m.Errors-earlier.Errors))
	m.Latency = m.Latency.Sub(earlier.Latency)
	m.Restarts = max(0, m.Restarts-earlier.Restarts)
	m.PodTime = max(0, m.PodTime-earlier.PodTime)
	return m
}
