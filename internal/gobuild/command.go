package gobuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// user is whom the toolchain runs as.
type user struct {
	id     uint32
	home   string
	places []string // GOCACHE and the like, as NAME=value: their defaults lie in another home
}

// command prepares the go command. It and all that it starts form one process
// group, which ends as a whole when ctx does: a test binary that outlives its
// parent would keep pipes open and ports taken.
func (t *Toolchain) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- no shell; running the user's toolchain is the purpose
	cmd.Dir = t.source.Dir
	cmd.Env = append(append(append([]string{}, t.environ...), "PWD="+t.source.Dir), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if t.user != nil {
		cmd.Env = append(append(cmd.Env, "HOME="+t.user.home), t.user.places...)
		if int(t.user.id) != os.Geteuid() {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: t.user.id, Gid: t.user.id}
			cmd.Env = append(cmd.Env, "USER=nobody")
		}
	}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return err
	}
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// output runs the go command and gives what it prints.
func (t *Toolchain) output(ctx context.Context, env []string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := t.command(ctx, env, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, t.failure(ctx, args[0], stderr.String(), err)
	}
	return stdout.Bytes(), nil
}

// failure words the end of a go command that is not about code.
func (t *Toolchain) failure(ctx context.Context, verb, stderr string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("go %s: %w", verb, context.Cause(ctx))
	}
	if errors.Is(err, exec.ErrNotFound) {
		return &ToolchainError{Verb: verb, Cause: err}
	}
	return &ToolchainError{Verb: verb, Text: strings.TrimSpace(clip(stderr, 4096)), Cause: err}
}

// clip shortens text to its last n bytes, where the reason mostly stands.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + strings.ToValidUTF8(text[len(text)-n:], "")
}

// ToolchainError is a go command that could not do its work for a reason that
// lies in no line of code: no go command, a module that cannot be had.
type ToolchainError struct {
	Verb  string
	Text  string // what it said
	Cause error
}

func (e *ToolchainError) Error() string {
	if e.Text == "" && e.Cause != nil {
		return fmt.Sprintf("go %s: %v", e.Verb, e.Cause)
	}
	return fmt.Sprintf("go %s: %s", e.Verb, e.Text)
}

func (e *ToolchainError) Unwrap() error { return e.Cause }

// private says whether a module could not be had for want of credentials.
func private(output string) bool {
	return strings.Contains(output, "terminal prompts disabled") || strings.Contains(output, "could not read Username") ||
		strings.Contains(output, ": 401 Unauthorized")
}

// Next tells the step to take for the reasons that are known.
func (e *ToolchainError) Next() string {
	switch {
	case errors.Is(e.Cause, exec.ErrNotFound):
		return "run the action in its container, which has the Go toolchain, or put go on the PATH"
	case private(e.Text):
		return "a module is private: name it in the input private-modules and give a token that may read it in modules-token"
	case strings.Contains(e.Text, "missing go.sum entry"), strings.Contains(e.Text, "updates to go.mod needed"):
		return "run go mod tidy and commit go.mod and go.sum"
	case strings.Contains(e.Text, "go.mod file not found"), strings.Contains(e.Text, "cannot find main module"):
		return "set the input working-directory to the folder that holds go.mod or go.work"
	case strings.Contains(e.Text, "C compiler") && strings.Contains(e.Text, "not found"):
		return "the action's image has no C compiler: set CGO_ENABLED=0, or run the job in a container that has one"
	case strings.Contains(e.Text, "GOTOOLCHAIN=local"):
		return "the module asks for a newer Go: set GOTOOLCHAIN=auto in the job's env, so that the toolchain is fetched"
	}
	return "correct the inputs working-directory, package, tests or the flags: go says the same in a checkout"
}
