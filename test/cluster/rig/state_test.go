//go:build linux

package rig

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func newRig(t *testing.T) *Rig {
	t.Helper()
	rig, err := New(t.TempDir(), "/programs", "v1")
	if err != nil {
		t.Fatal(err)
	}
	return rig
}

// pretend writes the state of a cluster whose PID 1 is the process.
func pretend(t *testing.T, rig *Rig, pid int, phase Phase, version string) {
	t.Helper()
	born, err := bornAt(pid)
	if err != nil {
		t.Fatal(err)
	}
	status := Status{Phase: phase, Version: version, PID: pid, Born: born, Since: time.Now()}
	if err := status.write(rig.Dir); err != nil {
		t.Fatal(err)
	}
}

func TestStatus_isDownWhenFirstProcessWasKilled(t *testing.T) {
	rig := newRig(t)
	process := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	pretend(t, rig, process.Process.Pid, Up, "v1")
	if status, err := rig.Status(); err != nil || status.Phase != Up {
		t.Fatalf("before: %v %v", status.Phase, err)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()
	if status, err := rig.Status(); err != nil || status.Phase != Down {
		t.Errorf("after: %v %v", status.Phase, err)
	}
}

func TestStatus_isDownWhenItsPIDIsAnotherProcessNow(t *testing.T) {
	rig := newRig(t)
	status := Status{Phase: Up, PID: os.Getpid(), Born: "1"}
	if err := status.write(rig.Dir); err != nil {
		t.Fatal(err)
	}
	if status, err := rig.Status(); err != nil || status.Phase != Down {
		t.Errorf("got %v %v", status.Phase, err)
	}
}

func TestUp_refusesToReplaceAnotherVersion(t *testing.T) {
	rig := newRig(t)
	pretend(t, rig, os.Getpid(), Up, "v0")
	if err := rig.Up(t.Context(), io.Discard); err == nil {
		t.Error("no error")
	}
	if status, err := rig.Status(); err != nil || status.Version != "v0" {
		t.Errorf("the other version is gone: %+v %v", status, err)
	}
}

func TestEnter_refusesWhileClusterIsStarting(t *testing.T) {
	rig := newRig(t)
	pretend(t, rig, os.Getpid(), Starting, "v1")
	if err := rig.Enter([]string{"true"}); err == nil {
		t.Error("no error")
	}
}

func TestLock_isHeldByOne(t *testing.T) {
	rig := newRig(t)
	unlock, err := rig.lock(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	impatient, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := rig.lock(impatient, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second got %v", err)
	}
	unlock()
	unlock, err = rig.lock(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestRemoveCgroup_removesWhatIsBelow(t *testing.T) {
	if err := CheckHost(); err != nil {
		t.Skip(err)
	}
	rig := newRig(t)
	name := rig.Cgroup()
	t.Cleanup(func() { _, _ = removeCgroupOnce(name) })
	if err := createCgroup(name); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(cgroupMount, "*", name))
	if err != nil {
		t.Fatal(err)
	}
	if unified() {
		made = append(made, filepath.Join(cgroupMount, name))
	}
	if len(made) == 0 {
		t.Fatal("no control group was made")
	}
	for _, group := range made {
		if err := os.MkdirAll(filepath.Join(group, "pods", "one"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeCgroup(name, time.Second); err != nil {
		t.Error(err)
	}
	for _, group := range made {
		if _, err := os.Stat(group); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", group, err)
		}
	}
}
