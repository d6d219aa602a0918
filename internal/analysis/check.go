package analysis

// Metric is what a check measures.
type Metric string

// The metrics of the grammar.
const (
	ErrorRate Metric = "error-rate" // a share, 0 to 1
	P50       Metric = "p50"        // in seconds, as the other latencies
	P90       Metric = "p90"
	P95       Metric = "p95"
	P99       Metric = "p99"
	Max       Metric = "max"
	Rate      Metric = "rate"     // requests a second
	Restarts  Metric = "restarts" // a count
	Query     Metric = "query"    // whatever the PromQL in Check.Query gives
)

// Quantile is the share that a latency metric stands for, false for others.
func (m Metric) Quantile() (float64, bool) {
	switch m {
	case P50:
		return 0.5, true
	case P90:
		return 0.9, true
	case P95:
		return 0.95, true
	case P99:
		return 0.99, true
	case Max:
		return 1, true
	case ErrorRate, Rate, Restarts, Query:
	}
	return 0, false
}

// Operator compares what was measured with a check's value. It is empty where
// the check compares with the baseline.
type Operator string

// The operators of the grammar.
const (
	Less    Operator = "<"
	AtMost  Operator = "<="
	More    Operator = ">"
	AtLeast Operator = ">="
)

// Check is one line of the grammar.
type Check struct {
	Text     string // as written, without the space around it
	Metric   Metric
	Operator Operator // what must hold: metric operator value
	Value    float64  // a share, seconds, requests a second or a count: see Metric
	Query    string   // PromQL with its placeholders, for Metric Query
	Baseline bool     // worse-than baseline by Value
	Relative bool     // Value is a share of the baseline's (p95 worse-than baseline by 20%)
}
