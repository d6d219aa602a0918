package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
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

// describeMachine says where and when it was measured.
func describeMachine() string {
	system, kernel, load := "unknown system", "", "unknown"
	if content, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(content)) {
			if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				system = strings.Trim(strings.TrimSpace(name), `"`)
			}
		}
	}
	if output, err := exec.Command("uname", "-r").Output(); err == nil {
		kernel = ", Linux " + strings.TrimSpace(string(output))
	}
	if content, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(content))[:3], ", ")
	}
	return fmt.Sprintf("%s: %d cores, %s%s, %s; load averages at the start %s. Everything — cluster, pods, load and tools — shares these cores.",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), system, kernel, runtime.Version(), load)
}

// replaceSection puts text between a file's marks for the section, or at its
// end where there are none.
func replaceSection(path, section, text string) error {
	begin, end := "<!-- "+section+" -->\n", "<!-- /"+section+" -->\n"
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		content, err = []byte("# Benchmarks\n\nEach section is written by its `make bench-…` target.\n"), nil
	}
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, _ := strings.Cut(rest, end)
	if !found {
		before += "\n"
	}
	return os.WriteFile(path, []byte(before+begin+strings.TrimRight(text, "\n")+"\n"+end+after), 0o644)
}
