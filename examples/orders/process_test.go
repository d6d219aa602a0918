package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the service itself, so that real signals and exit codes
// can be seen without another build.
func TestMain(m *testing.M) {
	if os.Getenv("ORDERS_TEST_MAIN") == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

func process(t *testing.T, environ ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
	cmd.Env = append(environ, "ORDERS_TEST_MAIN=1")
	return cmd
}

func TestMain_endsWellOnSIGTERM(t *testing.T) {
	cmd := process(t, "PORT=0", "DRAIN_DELAY=100ms")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var base, last string
	for logs := bufio.NewScanner(out); logs.Scan(); {
		var line struct{ Msg, Address string }
		if err := json.Unmarshal(logs.Bytes(), &line); err != nil {
			t.Errorf("log line %q is not JSON", logs.Text())
			continue
		}
		switch last = line.Msg; line.Msg {
		case "listening":
			base = "http://localhost:" + line.Address[strings.LastIndexByte(line.Address, ':')+1:]
		case "ready":
			client := &http.Client{Timeout: 5 * time.Second}
			if got, err := do(t.Context(), client, "GET", base+"/readyz", ""); err != nil || got.StatusCode != 200 {
				t.Errorf("/readyz: %v %v", got.Response, err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil || last != "ended well" {
		t.Errorf("ended with %v, the last log line is %q", err, last)
	}
}

func TestMain_namesEveryWrongSetting(t *testing.T) {
	out, err := process(t, "PORT=http", "STAGE=prod", "LOG_LEVEL=loud", "DRAIN_DELAY=5").CombinedOutput()
	if err == nil {
		t.Fatal("it started")
	}
	for _, want := range []string{"Port", "Stage", "prod", "LogLevel", "DrainDelay"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not named in %s", want, out)
		}
	}
}
