package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/promote"
)

// points is how many a chart has: more cannot be told apart.
const points = 40

// picture draws a promotion: the new version's share of traffic, and the error
// rates of both versions, over time. A single look has no shape, and is told in
// numbers; it is empty where there was nothing to look at.
func picture(samples []promote.Sample) string {
	switch len(samples) {
	case 0:
		return ""
	case 1:
		return byStep(samples)
	}
	columns := resampled(samples, points)
	weight, fresh, live := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	beside := false
	for i, c := range columns {
		weight[i], fresh[i], live[i] = percent(c.Weight), percent(100*rate(c.Fresh)), percent(100*rate(c.Live))
		beside = beside || c.Live.Requests > 0
	}
	seconds := samples[len(samples)-1].At.Seconds()
	lines := []string{
		"---", "config:", "  themeVariables:", "    xyChart:", "      plotColorPalette: \"#9ec5e8, #d62728, #2ca02c\"", "---",
		"xychart-beta",
		fmt.Sprintf("    x-axis \"seconds\" 0 --> %s", trimmed(math.Max(1, seconds))),
		"    y-axis \"percent\" 0 --> 100",
		"    bar [" + strings.Join(weight, ", ") + "]",
		"    line [" + strings.Join(fresh, ", ") + "]",
	}
	legend := "Blue bars: the new version's share of traffic. Red: its error rate."
	if beside {
		lines = append(lines, "    line ["+strings.Join(live, ", ")+"]")
		legend += " Green: the error rate of the version live beside it."
	}
	return legend + "\n\n" + action.Mermaid(strings.Join(lines, "\n")) + "\n" + byStep(samples)
}

// resampled brings samples onto n columns of equal time. A column without a
// look keeps the weight of the one before.
func resampled(samples []promote.Sample, n int) []promote.Sample {
	columns := make([]promote.Sample, n)
	seen := make([]bool, n)
	last := samples[len(samples)-1].At
	for _, s := range samples {
		i := n - 1
		if last > 0 {
			i = min(n-1, int(int64(s.At)*int64(n)/int64(last)))
		}
		c := &columns[i]
		c.Weight, seen[i] = s.Weight, true
		c.Fresh.Requests += s.Fresh.Requests
		c.Fresh.Errors += s.Fresh.Errors
		c.Live.Requests += s.Live.Requests
		c.Live.Errors += s.Live.Errors
	}
	for i := 1; i < n; i++ {
		if !seen[i] {
			columns[i] = columns[i-1]
		}
	}
	return columns
}

func rate(r promote.Reading) float64 {
	share, _ := r.ErrorRate()
	return share
}

func percent(n float64) string { return trimmed(math.Min(100, math.Max(0, n))) }

func trimmed(n float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") }

// byStep is a table of what each step saw of both versions.
func byStep(samples []promote.Sample) string {
	var order []string
	sums := map[string]*promote.Sample{}
	began := map[string]time.Duration{}
	for _, s := range samples {
		sum := sums[s.Step]
		if sum == nil {
			sum = new(promote.Sample)
			sums[s.Step], began[s.Step] = sum, s.At
			order = append(order, s.Step)
		}
		sum.At, sum.Weight = s.At, s.Weight
		sum.Fresh = promote.Reading{Requests: sum.Fresh.Requests + s.Fresh.Requests, Errors: sum.Fresh.Errors + s.Fresh.Errors, P95: s.Fresh.P95}
		sum.Live = promote.Reading{Requests: sum.Live.Requests + s.Live.Requests, Errors: sum.Live.Errors + s.Live.Errors, P95: s.Live.P95}
	}
	var rows [][]string
	for _, step := range order {
		s := sums[step]
		rows = append(rows, []string{
			action.Escape(step), percent(s.Weight) + " %", (s.At - began[step]).Round(time.Second).String(),
			told(s.Fresh), told(s.Live),
		})
	}
	return action.Table([]string{"step", "share", "watched", "new version", "live version"}, rows) + "\n"
}

func told(r promote.Reading) string {
	share, ok := r.ErrorRate()
	if !ok {
		return "–"
	}
	text := fmt.Sprintf("%d requests, %.2f %% failed", r.Requests, 100*share)
	if r.P95 > 0 {
		text += fmt.Sprintf(", p95 %v", r.P95.Round(100*time.Microsecond))
	}
	return text
}
