// Package analysis holds the one grammar in which releases are judged — by
// load tests, canaries and watches alike — and the judge. It knows nothing of
// who measures or where traffic goes.
package analysis

// Verdict is what a check comes to. Its zero value promotes nothing.
type Verdict int

// The verdicts. No data is Inconclusive, never Pass.
const (
	Inconclusive Verdict = iota
	Pass
	Fail
)

// Result is one check as it was judged: what records, outputs and summaries
// show.
type Result struct {
	Check    string  `json:"check"`              // as written
	Verdict  Verdict `json:"verdict"`            // "pass", "fail" or "inconclusive"
	Measured string  `json:"measured,omitempty"` // in the check's unit, e.g. "0.4%" or "212ms"
	Detail   string  `json:"detail,omitempty"`   // why, in a sentence
	Samples  int64   `json:"samples,omitempty"`
}
