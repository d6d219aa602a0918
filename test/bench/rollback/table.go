package main

import (
	"fmt"
	"strings"

	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
)

// table is what was measured, as Markdown: medians, with the least and the
// most, and each tool's time as a multiple of ours.
func table(all []*measured) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d rounds each, in turn, every round between the same two versions of a service of %d pods, under %d requests a second (each by a connection of its own).\n\n", len(all[0].old), stage.Replicas, rate)
	text.WriteString("| | from the call until all pods are old: median (least to most) | ours ÷ this | until the command returns: median (least to most) | ours ÷ this | configuration restored | requests failed |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, m := range all {
		fmt.Fprintf(&text, "| %s | %s | %.2f | %s | %.2f | %d of %d | %d of %d |\n", m.name,
			paper.Spread(m.old), paper.Ratio(all[0].old, m.old), paper.Spread(m.done), paper.Ratio(all[0].done, m.done),
			m.configuration, len(m.old), m.failed, m.sent)
	}
	return text.String()
}
