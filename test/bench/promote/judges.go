package main

import (
	"fmt"
	"strings"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/test/simulate"
)

// more is by how much a worse version fails more often.
const more = 0.02

// judges compares our judge with fixed thresholds, on simulated canaries of
// services that fail more or less often by themselves, as Markdown.
func judges(n int) (string, error) {
	check, err := analysis.Parse("error-rate worse-than baseline by 1%")
	if err != nil {
		return "", err
	}
	type judge struct {
		name string
		make func() simulate.Judge
	}
	all := []judge{{"`error-rate worse-than baseline by 1%`", func() simulate.Judge {
		return simulate.Compared([]analysis.Check{check}, len(simulate.Usual(0).Steps))
	}}}
	for _, limit := range []struct {
		share float64
		least int64
	}{{0.01, 1}, {0.015, 200}, {0.02, 600}, {0.03, 800}} {
		all = append(all, judge{
			fmt.Sprintf("fixed limit of %g%%, from %d requests on", 100*limit.share, limit.least),
			func() simulate.Judge { return simulate.Fixed(limit.share, limit.least) },
		})
	}
	usual := []float64{0.001, 0.005, 0.01}
	var text strings.Builder
	fmt.Fprintf(&text, "%d simulated canaries for each figure, at 10 %% and 50 %% of 40 requests a second, a minute each, with a look every 5 s. The service fails by itself as often as the column says on average, up and down with time. *Cried wolf*: canaries as good as the live version that were aborted. *Caught*: canaries that fail two points more often that were aborted, and after how many requests of theirs.\n\n", n)
	text.WriteString("| |")
	for _, errors := range usual {
		fmt.Fprintf(&text, " at %g%%: cried wolf | caught | requests |", 100*errors)
	}
	text.WriteString("\n|---|" + strings.Repeat("---:|---:|---:|", len(usual)) + "\n")
	for _, j := range all {
		text.WriteString("| " + j.name + " |")
		for _, errors := range usual {
			f := simulate.Measure(n, func(seed uint64) simulate.Canary {
				c := simulate.Usual(seed)
				c.Errors = errors
				return c
			}, more, j.make)
			fmt.Fprintf(&text, " %.1f%% | %.0f%% | %.0f |", 100*f.Aborted, 100*f.Caught, f.Needed)
		}
		text.WriteString("\n")
	}
	return text.String(), nil
}
