package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fibership/fibership/test/runner"
)

// ErrExit is a program's own word that it did not end as it should have.
var ErrExit = errors.New("another exit code than wanted")

// Kubectl runs it in the place's namespace and folder.
func (p *Place) Kubectl(ctx context.Context, arguments ...string) error {
	return p.run(ctx, "kubectl", arguments)
}

// Helm runs the stage's helm in the place's namespace and folder.
func (p *Place) Helm(ctx context.Context, arguments ...string) error {
	return p.run(ctx, filepath.Join(p.Bin, "helm"), arguments)
}

func (p *Place) run(ctx context.Context, program string, arguments []string) error {
	cmd := exec.CommandContext(ctx, program, append([]string{"--namespace", p.Namespace}, arguments...)...)
	cmd.Dir = p.Folder
	if p.Kubeconfig != "" {
		cmd.Env = append(os.Environ(), "KUBECONFIG="+p.Kubeconfig)
	}
	output, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%s: %w: %w\n%s", strings.Join(cmd.Args, " "), ErrExit, err, output)
	}
	return err
}

// Step is a run of an action, with the moment at which each line of its log came.
type Step struct {
	runner.Outcome
	Began time.Time
	lines []line
}

// Action runs an action on the service in the place, and wants its exit code.
func (p *Place) Action(ctx context.Context, name string, exit int, inputs map[string]string) (Step, error) {
	all := map[string]string{"service": "web", "namespace": p.Namespace}
	if p.Kubeconfig != "" {
		all["kubeconfig"] = p.Kubeconfig
	}
	maps.Copy(all, inputs)
	var clock stamps
	began := time.Now()
	o, err := runner.Step{
		Binary: filepath.Join(p.Bin, name), Inputs: all, Workspace: p.Folder, Log: &clock,
		Env: map[string]string{"GITHUB_REPOSITORY": "acme/web", "GITHUB_ACTOR": "bench"},
	}.Run(ctx)
	if err == nil && o.Exit != exit {
		err = fmt.Errorf("%s: %w: %d, not %d; its log:\n%s", name, ErrExit, o.Exit, exit, o.Log)
	}
	return Step{Outcome: o, Began: began, lines: clock.lines}, err
}

// At is when the first line came that holds text.
func (s Step) At(text string) (time.Time, error) {
	for _, l := range s.lines {
		if strings.Contains(l.text, text) {
			return l.at, nil
		}
	}
	return time.Time{}, fmt.Errorf("no line of the log holds %q:\n%s", text, s.Log)
}

type line struct {
	at   time.Time
	text string
}

// stamps notes when lines come.
type stamps struct {
	mu    sync.Mutex
	rest  []byte
	lines []line
}

func (s *stamps) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, b...)
	for {
		text, after, found := bytes.Cut(s.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		s.lines = append(s.lines, line{time.Now(), string(text)})
		s.rest = after
	}
}
