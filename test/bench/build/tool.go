package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sample is one run of a tool.
type sample struct {
	wall, cpu time.Duration
	peak      int64 // bytes, of the largest process: the compiler or the linker, mostly
	own       int64 // bytes, of the tool itself
	bytes     int64 // sent to the registry
	requests  int64
	digest    string
}

// tool is one of the two that are compared, with caches of its own.
type tool struct {
	name     string
	home     string // of its caches and whatever it keeps
	modules  string // GOMODCACHE
	registry *registry
	command  func(t *tool, s service, workspace string) *exec.Cmd
}

var places = []string{"build", "modules", "tool"}

// forget throws caches away.
func (t *tool) forget(names ...string) error {
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(t.home, name)); err != nil {
			return err
		}
	}
	return nil
}

// environ is the same for both. Modules come from this machine's cache, as
// from a proxy, so that no network is measured.
func (t *tool) environ(proxy string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(t.home, "home"), "DOCKER_CONFIG=" + filepath.Join(t.home, "home"),
		"GOCACHE=" + filepath.Join(t.home, "build"), "GOMODCACHE=" + filepath.Join(t.home, "modules"), "KOCACHE=" + filepath.Join(t.home, "tool"),
		"GOPROXY=file://" + proxy, "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "CGO_ENABLED=0",
	}
}

func buildImage(folder string) func(*tool, service, string) *exec.Cmd {
	return func(t *tool, s service, workspace string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(folder, "build-image"))
		cmd.Env = []string{
			"INPUT_IMAGE=" + t.registry.host + "/bench", "INPUT_PACKAGE=" + s.pkg, "INPUT_TESTS=none", "INPUT_TAGS=latest", "INPUT_UNPRIVILEGED=false",
			"INPUT_BASE-IMAGE=" + t.registry.host + "/base:v1", "GITHUB_WORKSPACE=" + workspace,
		}
		return cmd
	}
}

func ko(folder string) func(*tool, service, string) *exec.Cmd {
	return func(t *tool, s service, _ string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(folder, "ko"), "build", "--bare", "--sbom=none", s.pkg)
		cmd.Env = []string{"KO_DOCKER_REPO=" + t.registry.host + "/bench", "KO_DEFAULTBASEIMAGE=" + t.registry.host + "/base:v1"}
		return cmd
	}
}

// fetch fills the module cache.
func (t *tool) fetch(ctx context.Context, workspace string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "download")
	cmd.Dir, cmd.Env = workspace, t.environ(t.modules)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go mod download: %w\n%s", err, output)
	}
	return nil
}

var digest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// run measures one run.
func (t *tool) run(ctx context.Context, s service, workspace string) (sample, error) {
	if err := os.MkdirAll(filepath.Join(t.home, "home"), 0o755); err != nil {
		return sample{}, err
	}
	cmd := t.command(t, s, workspace)
	cmd.Dir = workspace
	cmd.Env = append(cmd.Env, t.environ(t.modules)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	t.registry.reset()
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	ended := make(chan struct{})
	own := make(chan int64, 1)
	go func() { own <- watch(ctx, cmd.Process, ended) }()
	err := cmd.Wait()
	wall := time.Since(began)
	close(ended)
	m := sample{wall: wall, own: <-own}
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s%s", t.name, errors.Join(err, ctx.Err()), stdout.String(), stderr.String())
	}
	m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() // of all that it started, too
	m.peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // likewise, of the largest
	m.requests, m.bytes = t.registry.reset()
	// ko prints the reference alone; build-image prints outputs as name=value.
	for line := range strings.Lines(stdout.String()) {
		if found := digest.FindString(line); found != "" && (t.name == "ko" || strings.HasPrefix(line, "digest=")) {
			m.digest = found
		}
	}
	if m.digest == "" {
		return sample{}, fmt.Errorf("%s names no digest:\n%s", t.name, stdout.String())
	}
	return m, nil
}

// watch reads a process's own peak of memory until it ends, and ends it with
// ctx.
func watch(ctx context.Context, process *os.Process, ended <-chan struct{}) (peak int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return peak
		case <-ctx.Done():
			_ = process.Kill()
			<-ended
			return peak
		case <-tick.C:
			status, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(process.Pid), "status"))
			for line := range strings.Lines(string(status)) {
				if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
					if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
						peak = max(peak, kib<<10)
					}
				}
			}
		}
	}
}
