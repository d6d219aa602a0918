package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const legend = `
Medians. *CPU* is that of the tool and of all that it starts. *Largest process* is mostly the compiler or the linker; *own* is the
tool alone. *Sent* counts every byte of a request's body that reached the registry. ko runs as it comes, with KOCACHE and without an
SBOM; build-image without tests, which ko does not run. *Cold* finds the modules fetched and nothing compiled. A *fresh machine* has
neither, and fetches modules from a folder, so that no network is measured. Where nothing has changed, build-image
greets each registry once, asks where the base's tag points, reads the record of the inputs, and
asks where its own tag points: one more for each further tag, and one more for each token that a registry wants.
`

// targets are the ratios of wall clock that are aimed at.
var targets = map[string]float64{stepCold: 1, stepFile: 0.95, stepWarm: 0.6, stepFresh: 0.1}

func table(r *result) string {
	var b strings.Builder
	b.WriteString("| step | tool | wall s | CPU s | largest process MB | own MB | sent MB | requests | same digest |\n|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, step := range steps {
		for _, tool := range []string{"build-image", "ko"} {
			all := r.samples[step][tool]
			if len(all) == 0 {
				continue
			}
			kept := "–"
			if step != stepCold && step != stepFile {
				kept = fmt.Sprintf("%d of %d", r.kept[step][tool], len(all))
			}
			fmt.Fprintf(&b, "| %s | %s | %.2f | %.2f | %.0f | %.0f | %.2f | %d | %s |\n", step, tool,
				median(all, sample.seconds), median(all, func(s sample) float64 { return s.cpu.Seconds() }),
				median(all, func(s sample) float64 { return float64(s.peak) / 1e6 }), median(all, func(s sample) float64 { return float64(s.own) / 1e6 }),
				median(all, sample.megabytes), int(median(all, func(s sample) float64 { return float64(s.requests) })), kept)
		}
	}
	b.WriteString("\n| build-image to ko | wall | aimed at | CPU | sent | runs |\n|---|--:|--:|--:|--:|--:|\n")
	for _, step := range steps {
		ours, theirs := r.samples[step]["build-image"], r.samples[step]["ko"]
		if len(ours) == 0 || len(theirs) == 0 {
			continue
		}
		aim, sent := "", "–"
		if target, ok := targets[step]; ok {
			aim = fmt.Sprintf("≤ %g", target)
		}
		if bytes := median(theirs, sample.megabytes); bytes > 0.1 {
			sent = fmt.Sprintf("%.2f", median(ours, sample.megabytes)/bytes)
		}
		fmt.Fprintf(&b, "| %s | **%.2f** | %s | %.2f | %s | %d |\n", step, median(ours, sample.seconds)/median(theirs, sample.seconds), aim,
			median(ours, func(s sample) float64 { return s.cpu.Seconds() })/median(theirs, func(s sample) float64 { return s.cpu.Seconds() }), sent, len(ours))
	}
	return b.String()
}

func (s sample) seconds() float64   { return s.wall.Seconds() }
func (s sample) megabytes() float64 { return float64(s.bytes) / 1e6 }

func median(all []sample, of func(sample) float64) float64 {
	values := make([]float64, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	slices.SortFunc(values, cmp.Compare[float64])
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
