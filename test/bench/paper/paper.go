// Package paper writes what a benchmark measured into docs/benchmarks.md, with
// the machine that it was measured on.
package paper

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Machine says where and when it was measured.
func Machine() string {
	processor, system, load := "unknown processor", "unknown system", "unknown"
	line := func(path, prefix string) string {
		content, _ := os.ReadFile(path)
		for line := range strings.Lines(string(content)) {
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return strings.Trim(strings.TrimSpace(rest), `":`+"\t ")
			}
		}
		return ""
	}
	processor = cmp.Or(line("/proc/cpuinfo", "model name"), processor)
	system = cmp.Or(line("/etc/os-release", "PRETTY_NAME="), system)
	if kernel, err := exec.Command("uname", "-r").Output(); err == nil {
		system += ", Linux " + strings.TrimSpace(string(kernel))
	}
	if content, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(content))[:3], ", ")
	}
	return fmt.Sprintf("%s: %d cores (%s), %s, %s; load averages at the start %s.",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), processor, system, runtime.Version(), load)
}

// ReplaceSection puts text between a file's marks for the section, or at its
// end where there are none.
func ReplaceSection(path, section, text string) error {
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
