// Package runner runs an action's binary the way GitHub's runner does: inputs
// as INPUT_ variables, files for outputs and the summary, and nothing else of
// the caller's environment but what a host has.
package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fibership/fibership/internal/action/actiontest"
)

// A Step is one use of an action.
type Step struct {
	Binary    string
	Inputs    map[string]string
	Env       map[string]string // GITHUB_REPOSITORY and the like
	Workspace string            // the checkout
	Log       io.Writer         // takes the log as it comes; may be nil
}

// Outcome is what a step left.
type Outcome struct {
	Exit    int // -1 if it was killed
	Outputs map[string]string
	Summary string
	Log     string
	Took    time.Duration
}

// host is what a step sees of the machine.
var host = []string{"PATH", "HOME", "KUBECONFIG", "DOCKER_CONFIG", "GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "TMPDIR", "SSL_CERT_FILE"}

// Process is a step on its way.
type Process struct {
	*os.Process
	cmd   *exec.Cmd
	dir   string
	log   *bytes.Buffer
	began time.Time
}

// Run runs the step. An exit code is no error: see Outcome.Exit.
func (s Step) Run(ctx context.Context) (Outcome, error) {
	p, err := s.Start(ctx)
	if err != nil {
		return Outcome{}, err
	}
	return p.Wait()
}

// Start starts the step; the end of ctx is a cancel as the runner does it.
func (s Step) Start(ctx context.Context) (*Process, error) {
	dir, err := os.MkdirTemp("", "fibership-step-")
	if err != nil {
		return nil, err
	}
	p := &Process{dir: dir, log: new(bytes.Buffer), began: time.Now()}
	p.cmd = exec.CommandContext(ctx, s.Binary)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGINT) }
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Dir = s.Workspace
	p.cmd.Env = s.environ(dir)
	var out io.Writer = p.log
	if s.Log != nil {
		out = io.MultiWriter(p.log, s.Log)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.Binary, err), os.RemoveAll(dir))
	}
	p.Process = p.cmd.Process
	return p, nil
}

func (s Step) environ(dir string) []string {
	environ := append(actiontest.Environ(s.Inputs),
		"CI=true", "GITHUB_ACTIONS=true", "GITHUB_WORKSPACE="+s.Workspace,
		"GITHUB_OUTPUT="+filepath.Join(dir, "output"), "GITHUB_STEP_SUMMARY="+filepath.Join(dir, "summary"))
	for _, name := range host {
		if value, ok := os.LookupEnv(name); ok {
			environ = append(environ, name+"="+value)
		}
	}
	for name, value := range s.Env {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// Wait waits for the end of the step and reads what it left.
func (p *Process) Wait() (Outcome, error) {
	defer os.RemoveAll(p.dir)
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		return Outcome{}, fmt.Errorf("run %s: %w", filepath.Base(p.cmd.Path), err)
	}
	o := Outcome{Exit: p.cmd.ProcessState.ExitCode(), Log: p.log.String(), Took: time.Since(p.began)}
	output, err := os.ReadFile(filepath.Join(p.dir, "output"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, err
	}
	if o.Outputs, err = actiontest.ParseOutputs(string(output)); err != nil {
		return o, err
	}
	summary, err := os.ReadFile(filepath.Join(p.dir, "summary"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, err
	}
	o.Summary = string(summary)
	return o, nil
}

// Errors gives the ::error lines of a log.
func (o Outcome) Errors() []string {
	var found []string
	for line := range strings.Lines(o.Log) {
		if strings.HasPrefix(line, "::error") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
