//go:build demo

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// overlay lays the files of demo/_vN over the source, for the go command's -overlay.
func overlay(t *testing.T, variant string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(here, "demo", variant, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in demo/%s (%v)", variant, err)
	}
	replace := make(map[string]string)
	for _, file := range files {
		replace[filepath.Join(here, filepath.Base(file))] = file
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func goCommand(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func build(t *testing.T, variant string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "orders")
	goCommand(t, "build", "-overlay", overlay(t, variant), "-o", binary, ".")
	return binary
}

// variant is a running process of one.
type variant struct {
	*live
	cmd  *exec.Cmd
	logs *bufio.Scanner
}

// launch starts a variant and reads its log until it is ready.
func launch(t *testing.T, binary string, environ ...string) *variant {
	t.Helper()
	v := &variant{live: &live{}, cmd: exec.CommandContext(t.Context(), binary)}
	v.cmd.Env = append(environ, "PORT=0")
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for v.logs = bufio.NewScanner(out); v.logs.Scan(); {
		var line struct{ Msg, Address string }
		if err := json.Unmarshal(v.logs.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Address != "" {
			v.base = "http://127.0.0.1" + line.Address[strings.LastIndexByte(line.Address, ':'):]
		}
		if line.Msg == "ready" {
			return v
		}
	}
	t.Fatalf("it ended before it was ready: %v", v.cmd.Wait())
	return nil
}

// rest reads the log to its end and gives the exit code.
func (v *variant) rest(t *testing.T) (logs string, code int) {
	t.Helper()
	var all strings.Builder
	for v.logs.Scan() {
		all.WriteString(v.logs.Text() + "\n")
	}
	var exit *exec.ExitError
	if err := v.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return all.String(), v.cmd.ProcessState.ExitCode()
}

func TestDemo_everyVariantPassesTheTests(t *testing.T) {
	for _, variant := range []string{"_v2", "_v3", "_v4"} {
		t.Run(variant, func(t *testing.T) {
			goCommand(t, "test", "-count=1", "-overlay", overlay(t, variant), "./...")
		})
	}
}

func TestDemo_version2Serves(t *testing.T) {
	v := launch(t, build(t, "_v2"), "STAGE=production", "DRAIN_DELAY=0s")
	if got := v.call(t, "GET", "/version", ""); !strings.Contains(got.body, `"release":"2"`) {
		t.Errorf("/version says %s", got.body)
	}
	if err := v.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if logs, code := v.rest(t); code != 0 {
		t.Errorf("exit code %d: %s", code, logs)
	}
}

func TestDemo_version3CrashesWhereItIsDeployed(t *testing.T) {
	binary := build(t, "_v3")
	for _, stage := range []string{"staging", "production"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, binary)
		cmd.Env = []string{"PORT=0", "STAGE=" + stage}
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(stderr)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(string(said), "nil pointer dereference") || !strings.Contains(string(said), "openTax") {
			t.Errorf("%s: ended with %v: %s", stage, err, said)
		}
	}
}

func TestDemo_version4LeavesProductionWithoutLosingARequest(t *testing.T) {
	v := launch(t, build(t, "_v4"), "STAGE=production", "DRAIN_DELAY=1s")
	begin := time.Now()
	var b balancer
	wait := b.send(t.Context(), v.live, 4)
	logs, code := v.rest(t) // read all the while: a full pipe would hold the service back
	wait()
	if code != 1 || !strings.Contains(logs, "merchant account is not activated") {
		t.Errorf("exit code %d: %s", code, logs)
	}
	if lived := time.Since(begin); lived < 4*time.Second || b.lost.Load() > 0 || b.sent.Load() < 1000 {
		t.Errorf("lived %s, lost %d of %d requests, the first: %v", lived, b.lost.Load(), b.sent.Load(), b.firstLoss.Load())
	}
	t.Logf("%d requests sent, %d lost", b.sent.Load(), b.lost.Load())
}

func TestDemo_version4StaysInStaging(t *testing.T) {
	v := launch(t, build(t, "_v4"), "STAGE=staging", "DRAIN_DELAY=0s")
	late := time.After(5 * time.Second)
	for {
		if got := v.call(t, "GET", "/readyz", ""); got.StatusCode != 200 {
			t.Fatalf("/readyz says %s", got.Status)
		}
		select {
		case <-late:
		case <-time.After(100 * time.Millisecond):
			continue
		}
		break
	}
	if err := v.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if logs, code := v.rest(t); code != 0 {
		t.Errorf("exit code %d: %s", code, logs)
	}
}
