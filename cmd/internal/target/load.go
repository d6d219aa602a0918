package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/release"
)

// quantiles are those that a load test is told by.
var quantiles = []struct {
	name  string
	share float64
}{{"p50", 0.5}, {"p75", 0.75}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}}

// Load is a load test for a summary: its figures, and its latencies as a
// chart, beside those that it was compared with.
func Load(l release.Load, h release.History) string {
	if l.Latency.Count() == 0 {
		return ""
	}
	var base *release.Load
	if was, ok := h.Revision(l.Against); ok && was.Load != nil && was.Load.Latency.Count() > 0 {
		base = was.Load
	}
	header := []string{"load test", "requests", "failed", "rate"}
	for _, q := range quantiles {
		header = append(header, q.name)
	}
	rows := [][]string{figures("this release", l)}
	title := "Latency in ms"
	if base != nil {
		name := fmt.Sprintf("release %d", l.Against)
		rows = append(rows, figures(name, *base))
		title += ": bars are this release, the line is " + name
	}
	return action.Table(header, rows) + "\n" + action.Mermaid(chart(title, l, base)) + "\n" +
		action.Details("How the load was made", action.Code(l.Text)+answers(l))
}

func figures(name string, l release.Load) []string {
	row := []string{name, fmt.Sprint(l.Requests), fmt.Sprint(l.Errors), fmt.Sprintf("%.1f/s", float64(l.Requests)/max(l.Window.Seconds(), 1e-9))}
	for _, d := range latencies(l) {
		row = append(row, d.Round(roundTo(d)).String())
	}
	return row
}

// roundTo keeps three digits or so.
func roundTo(d time.Duration) time.Duration {
	unit := time.Microsecond
	for d >= 1000*unit && unit < time.Second {
		unit *= 10
	}
	return unit
}

func latencies(l release.Load) []time.Duration {
	var all []time.Duration
	for _, q := range quantiles {
		d, _ := l.Latency.Quantile(q.share)
		all = append(all, d)
	}
	return all
}

func chart(title string, l release.Load, base *release.Load) string {
	var names []string
	for _, q := range quantiles {
		names = append(names, `"`+q.name+`"`)
	}
	top := latencies(l)[len(quantiles)-1]
	lines := []string{
		"xychart-beta",
		fmt.Sprintf("    title %q", title),
		"    x-axis [" + strings.Join(names, ", ") + "]",
		"", // the y axis, once its end is known
		"    bar [" + milliseconds(latencies(l)) + "]",
	}
	if base != nil {
		top = max(top, latencies(*base)[len(quantiles)-1])
		lines = append(lines, "    line ["+milliseconds(latencies(*base))+"]")
	}
	lines[3] = fmt.Sprintf(`    y-axis "ms" 0 --> %s`, milliseconds([]time.Duration{top}))
	return strings.Join(lines, "\n")
}

func milliseconds(all []time.Duration) string {
	var numbers []string
	for _, d := range all {
		numbers = append(numbers, fmt.Sprintf("%.2f", max(float64(d)/float64(time.Millisecond), 0.01)))
	}
	return strings.Join(numbers, ", ")
}

// answers tells the statuses, and why there was no answer.
func answers(l release.Load) string {
	var rows [][]string
	for _, status := range slices.Sorted(maps.Keys(l.Statuses)) {
		if status > 0 { // 0 is told by the problems
			rows = append(rows, []string{fmt.Sprint(status), fmt.Sprint(l.Statuses[status])})
		}
	}
	for _, problem := range slices.Sorted(maps.Keys(l.Problems)) {
		rows = append(rows, []string{"no answer: " + action.Escape(problem), fmt.Sprint(l.Problems[problem])})
	}
	return "\n\n" + action.Table([]string{"answer", "requests"}, rows)
}
