package action

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sethvargo/go-githubactions"

	"github.com/fibership/fibership/internal/progress"
)

// outputs writes the run's outputs to the runner's file, or to standard output
// where there is none.
type outputs struct {
	spec    *Spec
	console *console
	path    string // GITHUB_OUTPUT
	stdout  io.Writer

	mu  sync.Mutex
	err error // of the writes that failed
}

func (o *outputs) set(name, value string) {
	if !slices.ContainsFunc(o.spec.Outputs, func(out *Output) bool { return out.Name == name }) {
		panic(fmt.Sprintf("output %q of %s is not declared", name, o.spec.Name))
	}
	if o.console.holdsSecret(value) {
		progress.Warn(o.console, "Output left out", fmt.Sprintf("output %q would hold a secret; it is not set", name))
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.path == "" {
		o.print(name, value)
		return
	}
	if err := appendOutput(o.path, name, value); err != nil {
		o.err = errors.Join(o.err, fmt.Errorf("write output %q: %w", name, err))
	}
}

// failed is what could not be written.
func (o *outputs) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// print writes name=value on one line, whatever the value holds.
func (o *outputs) print(name, value string) {
	kept := lines(value)
	for i, line := range kept {
		kept[i] = visible(line)
	}
	line := name + "=" + strings.Join(kept, `\n`)
	if o.console.inActions {
		line = neutral(line)
	}
	_, _ = io.WriteString(o.stdout, line+"\n")
}

// appendOutput writes a value between two lines that nobody can foresee, so
// that it cannot end itself and begin another output. The library's own
// SetOutput uses one fixed delimiter.
// Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions#multiline-strings
func appendOutput(path, name, value string) (err error) {
	defer func() {
		// IssueFileCommand panics where the file cannot be written.
		if p := recover(); p != nil {
			if cause, ok := p.(error); ok {
				err = cause
				return
			}
			err = fmt.Errorf("%v", p)
		}
	}()
	delimiter := "fibership_" + rand.Text()
	githubactions.New(
		githubactions.WithWriter(io.Discard),
		githubactions.WithGetenv(func(string) string { return path }),
	).IssueFileCommand(&githubactions.Command{
		Name:    "output",
		Message: name + "<<" + delimiter + "\n" + value + "\n" + delimiter,
	})
	return nil
}
