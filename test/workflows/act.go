package workflows

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

// Act runs workflows. Jobs run on this machine, container actions in the
// engine, with the network that this process has.
type Act struct {
	rig    *Rig
	engine *Engine
	// replaced are the repositories that `uses:` lines get from a folder, by
	// owner/name@ref. No other can be had.
	replaced map[string]string
}

// Call is one run of a workflow.
type Call struct {
	Repository string // folder of the checkout
	Workflow   string // its file in there
	Event      string // push, workflow_dispatch
	Payload    map[string]any
	Inputs     map[string]string
	Variables  map[string]string
	Secrets    map[string]string
}

// Run runs the call. That a job failed is no error: see Outcome.Exit.
func (a *Act) Run(ctx context.Context, c Call) (Outcome, error) {
	dir, err := os.MkdirTemp("", "fibership-act-")
	if err != nil {
		return Outcome{}, err
	}
	defer os.RemoveAll(dir)
	secrets, err := yaml.Marshal(c.Secrets)
	if err != nil {
		return Outcome{}, err
	}
	payload, err := json.Marshal(c.Payload)
	if err != nil {
		return Outcome{}, err
	}
	args := []string{
		c.Event, "--directory", c.Repository, "--workflows", c.Workflow, "--json", "--rm",
		"--actor", "octocat", "--defaultbranch", "main", "--platform", "ubuntu-latest=-self-hosted",
		"--pull=false", "--action-offline-mode", "--no-cache-server", "--container-daemon-socket", "-",
		"--container-options", fmt.Sprintf("--network host -v %[1]s:%[1]s", a.cache()),
		"--secret-file", filepath.Join(dir, "secrets.yml"), "--eventpath", filepath.Join(dir, "event.json"),
		// What keeps secrets out of the log is to be our actions' doing.
		"--insecure-secrets",
	}
	for name, value := range c.Inputs {
		args = append(args, "--input", name+"="+value)
	}
	for name, value := range c.Variables {
		args = append(args, "--var", name+"="+value)
	}
	for ref, folder := range a.replaced {
		args = append(args, "--local-repository", ref+"="+folder)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "secrets.yml"), secrets, 0o600),
		os.WriteFile(filepath.Join(dir, "event.json"), payload, 0o600),
	)
	if err != nil {
		return Outcome{}, err
	}
	return a.exec(ctx, args)
}

// cache is what outlives a job on the machine that plays the runner.
func (a *Act) cache() string { return a.rig.cached("runner") }

func (a *Act) exec(ctx context.Context, args []string) (Outcome, error) {
	cmd := exec.CommandContext(ctx, a.rig.act, args...)
	// Job and containers see all of it: nothing of ours may be there.
	cmd.Env = []string{
		"PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin", "HOME=/github/home", "DOCKER_HOST=" + a.engine.host,
		"XDG_CACHE_HOME=" + a.cache(), "XDG_CONFIG_HOME=" + a.cache(),
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 20 * time.Second
	begun := time.Now()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return Outcome{}, fmt.Errorf("act: %w\n%s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	o := Outcome{Exit: cmd.ProcessState.ExitCode(), Raw: stdout.String() + stderr.String(), Took: time.Since(begun)}
	return o, o.read(stdout.Bytes())
}
