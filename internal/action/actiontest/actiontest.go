// Package actiontest runs actions in tests as the runner does, and reads what
// they left as the runner does.
package actiontest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action"
)

// Result is what a run left.
type Result struct {
	Exit    int
	Outputs map[string]string
	Log     string // standard output: in Actions everything is there
	Summary string
}

// Exec runs an action in this process, as a step of a workflow, with the given
// inputs; env adds variables such as GITHUB_REPOSITORY, as NAME=value.
func Exec(t testing.TB, s *action.Spec, run func(context.Context, *action.Run) error, inputs map[string]string, env ...string) Result {
	t.Helper()
	dir := t.TempDir()
	output, summary := filepath.Join(dir, "output"), filepath.Join(dir, "summary")
	environ := append(Environ(inputs), "GITHUB_ACTIONS=true", "GITHUB_OUTPUT="+output, "GITHUB_STEP_SUMMARY="+summary)
	var log bytes.Buffer
	exit := action.Exec(t.Context(), s, run, append(environ, env...), nil, &log, &log)
	return Result{Exit: exit, Outputs: ReadOutputs(t, output), Log: log.String(), Summary: read(t, summary)}
}

// Environ is inputs as the runner sets them.
func Environ(inputs map[string]string) []string {
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		environ = append(environ, "INPUT_"+strings.ToUpper(strings.ReplaceAll(name, " ", "_"))+"="+inputs[name])
	}
	return environ
}

// ReadOutputs reads a GITHUB_OUTPUT file; a file that is not there holds none.
func ReadOutputs(t testing.TB, path string) map[string]string {
	t.Helper()
	outputs, err := ParseOutputs(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return outputs
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// ParseOutputs parses a file of outputs as the runner does: name=value, or
// name<<delimiter, lines, delimiter; the last of a name counts.
// Source: https://github.com/actions/runner/blob/v2.336.0/src/Runner.Worker/FileCommandManager.cs
func ParseOutputs(text string) (map[string]string, error) {
	outputs := map[string]string{}
	rest := text
	for rest != "" {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if line == "" {
			continue
		}
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			if equals == 0 {
				return nil, fmt.Errorf("no name in %q", line)
			}
			outputs[line[:equals]] = line[equals+1:]
		case heredoc > 0 && len(line) > heredoc+2:
			name, delimiter := line[:heredoc], line[heredoc+2:]
			var kept []string
			for {
				if rest == "" {
					return nil, fmt.Errorf("output %q: its delimiter %q does not come", name, delimiter)
				}
				line, rest, _ = strings.Cut(rest, "\n")
				if line == delimiter {
					break
				}
				kept = append(kept, line)
			}
			outputs[name] = strings.Join(kept, "\n")
		default:
			return nil, fmt.Errorf("invalid line %q", line)
		}
	}
	return outputs, nil
}
