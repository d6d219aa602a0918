package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// at calls act when the nth request comes, in place of answering it.
func at(n *atomic.Int64, act func()) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(-1) == 0 {
				act()
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// whole fails the test where a tag points at an image that is not whole. It
// gives the digests by tag.
func (s *server) whole(t *testing.T, repository string) map[string]string {
	t.Helper()
	repo, err := name.NewRepository(s.host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	tags, _ := remote.List(repo) // a repository that is not there yet has none
	digests := map[string]string{}
	for _, tag := range tags {
		descriptor, err := remote.Get(repo.Tag(tag))
		if err != nil {
			t.Fatalf("tag %s: %v", tag, err)
		}
		digests[tag] = descriptor.Digest.String()
		if strings.HasPrefix(tag, "key-") {
			continue // a record, not an image
		}
		img, err := descriptor.Image()
		if err == nil {
			err = validate.Image(img)
		}
		if err != nil {
			t.Errorf("tag %s points at an image that is not whole: %v", tag, err)
		}
	}
	return digests
}

func TestBuild_leavesWholeTagsWhereItIsKilled(t *testing.T) {
	var countdown atomic.Int64
	var kill atomic.Pointer[func()]
	registry := newServer(t, at(&countdown, func() { (*kill.Load())() }))
	v1 := orders()
	// Another program each time: this registry shares blobs between repositories.
	v2 := func(n int) string {
		return orders().with("main.go", fmt.Sprintf("package main\n\nfunc main() { println(\"v2\", %d) }\n", n)).write(t)
	}
	in := inputs{"image": registry.host + "/acme/count", "tests": "none", "tags": "latest\nv1"}
	act(t, v1.write(t), in).wants(t, 0)
	registry.requests()
	act(t, v2(0), in).wants(t, 0)
	requests := len(registry.requests())

	step := 3
	if testing.Short() {
		step = 7
	}
	for n := 1; n <= requests; n += step {
		repository := "acme/orders" + strconv.Itoa(n)
		in["image"] = registry.host + "/" + repository
		before := act(t, v1.write(t), in)
		before.wants(t, 0)

		cmd, result := start(t.Context(), t, v2(n), in)
		stop := func() { _ = cmd.Process.Kill() }
		kill.Store(&stop)
		countdown.Store(int64(n))
		_ = cmd.Run()
		if countdown.Load() > 0 || cmd.ProcessState.Success() {
			t.Fatalf("request %d of %d never came\n%s", n, requests, result().log)
		}
		for tag, digest := range registry.whole(t, repository) {
			if old := before.outputs["digest"]; digest != old && !strings.HasPrefix(tag, "key-") {
				t.Logf("killed at request %d: %s was moved already", n, tag)
			}
		}

		after := act(t, v2(n), in)
		after.wants(t, 0)
		tags := registry.whole(t, repository)
		if tags["latest"] != after.outputs["digest"] || tags["v1"] != after.outputs["digest"] {
			t.Errorf("killed at request %d: the next run leaves %v", n, tags)
		}
	}
	t.Logf("killed at every %dth of %d requests", step, requests)
}

func TestBuild_endsAllThatItStartedWhenCancelled(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	workspace := orders().with("greet/slow_test.go", `package greet

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

func TestSlow(t *testing.T) {
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("PID_FILE"), []byte(strconv.Itoa(child.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
}
`).write(t)
	cmd, result := start(t.Context(), t, workspace, inputs{
		"image": "127.0.0.1:1/acme/orders", "push": "false", "test-env": "PID_FILE=" + pidFile, "unprivileged": "false",
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	pid := 0
	eventually(t, "the test to start", func() bool {
		select {
		case <-ended:
			t.Fatal(result().log)
		default:
		}
		data, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(string(data))
		return pid > 0
	})
	cancelled := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ended
	if took := time.Since(cancelled); took > 7*time.Second {
		t.Errorf("it took %s", took)
	}
	result().wants(t, 130)
	eventually(t, "the test's child to end", func() bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		return err != nil || strings.Contains(string(status), "\nState:\tZ")
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond) // polls with a deadline
	}
}
