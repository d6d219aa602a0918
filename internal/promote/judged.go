package promote

import (
	"slices"

	"github.com/fibership/fibership/internal/analysis"
)

// mostResults bounds what a record keeps of a long walk with many checks.
const mostResults = 200

// judged puts a look at a step into the record, beside what the steps before
// came to, and gives the step's own verdict. The verdict of the walk is that of
// every check as it was judged last. A step with nothing to judge changes nothing.
func (w *walk) judged(step string, results []analysis.Result) analysis.Verdict {
	if len(results) > 0 {
		w.Record.Checks = stepped(w.Record.Checks, step, results)
		w.verdict, w.analysed = analysis.Together(latest(w.Record.Checks)), true
	}
	return analysis.Together(results)
}

// uncompared tells of the comparisons that no step has judged, because nothing
// stood beside to compare with: they are in the record, and count for nothing.
func (w *walk) uncompared(step, why string) {
	last := lastOf(w.Record.Checks)
	var results []analysis.Result
	for _, c := range w.plan.Checks {
		if _, told := last[c.Text]; c.Baseline && !told {
			w.Log.Linef("%s: not judged: %s", c.Text, why)
			results = append(results, analysis.Result{Check: c.Text, Step: step, Detail: why, Exempt: true})
		}
	}
	w.Record.Checks = bounded(slices.Concat(w.Record.Checks, results), mostResults)
}

// stepped is all results with a step's newest, which stand at the end.
func stepped(all []analysis.Result, step string, results []analysis.Result) []analysis.Result {
	all = slices.DeleteFunc(slices.Clone(all), func(r analysis.Result) bool { return r.Step == step && !r.Exempt })
	for _, r := range results {
		r.Step = step
		all = append(all, r)
	}
	return bounded(all, mostResults)
}

// bounded leaves out the oldest results of checks that were judged again later,
// until there are no more than most.
func bounded(all []analysis.Result, most int) []analysis.Result {
	surplus := len(all) - most
	if surplus <= 0 {
		return all
	}
	last := lastOf(all)
	var kept []analysis.Result
	for i, r := range all {
		if surplus > 0 && last[r.Check] != i {
			surplus--
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// latest is each check as it was judged last.
func latest(all []analysis.Result) []analysis.Result {
	last := lastOf(all)
	var results []analysis.Result
	for i, r := range all {
		if last[r.Check] == i {
			results = append(results, r)
		}
	}
	return results
}

// lastOf is where each check was judged last.
func lastOf(all []analysis.Result) map[string]int {
	last := make(map[string]int)
	for i, r := range all {
		last[r.Check] = i
	}
	return last
}
