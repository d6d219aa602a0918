package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table is what was measured, as Markdown: medians, with the least and the
// most, and each tool's time as a multiple of ours.
func table(all []*measured) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d rounds each, in turn, every round between the same two versions of a service of %d pods, under %d requests a second (each by a connection of its own).\n\n", len(all[0].old), replicas, rate)
	text.WriteString("| | from the call until all pods are old: median (least to most) | ours ÷ this | until the command returns: median (least to most) | ours ÷ this | configuration restored | requests failed |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, m := range all {
		fmt.Fprintf(&text, "| %s | %s | %.2f | %s | %.2f | %d of %d | %d of %d |\n", m.name,
			spread(m.old), ratio(all[0].old, m.old), spread(m.done), ratio(all[0].done, m.done),
			m.configuration, len(m.old), m.failed, m.sent)
	}
	return text.String()
}

func spread(times []time.Duration) string {
	return fmt.Sprintf("%.2f s (%.2f to %.2f)", median(times).Seconds(), slices.Min(times).Seconds(), slices.Max(times).Seconds())
}

func ratio(ours, theirs []time.Duration) float64 {
	return median(ours).Seconds() / median(theirs).Seconds()
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
