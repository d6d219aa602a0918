//go:build linux

package provision

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMissingPackages_namesEachOnce(t *testing.T) {
	folder := t.TempDir()
	for _, program := range []string{"runc", "ptp", "iptables-restore"} {
		if err := os.WriteFile(filepath.Join(folder, program), nil, 0o755); err != nil { //nolint:gosec // stands for a program
			t.Fatal(err)
		}
	}
	got := missingPackages([]string{"/nowhere", folder})
	if want := []string{"containerd", "containernetworking-plugins"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRun_failsWithTheProgramsWords(t *testing.T) {
	err := run(t.Context(), "sh", "-c", "echo no such package >&2; exit 100")
	if err == nil || !strings.Contains(err.Error(), "no such package") || !strings.Contains(err.Error(), "100") {
		t.Errorf("got %v", err)
	}
}

func TestDuring_tellsThatItIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var progress bytes.Buffer
		err := during(t.Context(), &progress, "compile", func(_ context.Context, say func(string)) error {
			say("(first half)")
			time.Sleep(15 * time.Second)
			say("(second half)")
			time.Sleep(10 * time.Second)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "compile …\ncompile: 10s (first half)\ncompile: 20s (second half)\ncompile: done in 25s\n"
		if progress.String() != want {
			t.Errorf("got\n%swant\n%s", &progress, want)
		}
	})
}

func TestDuring_passesTheErrorOn(t *testing.T) {
	broken := errors.New("broken")
	err := during(t.Context(), &bytes.Buffer{}, "compile", func(context.Context, func(string)) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestBuild_isWhatItWasCompiledFrom(t *testing.T) {
	first, err := NewBuild("/cache")
	if err != nil {
		t.Fatal(err)
	}
	again, err := NewBuild("/cache")
	if err != nil {
		t.Fatal(err)
	}
	if *first != *again {
		t.Errorf("got %+v and then %+v", first, again)
	}
	programs, err := hashSources("go.mod", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	fewer, err := hashSources("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if programs == fewer {
		t.Error("the sources do not count")
	}
}

func TestBuild_leavesNothingWhenItIsInterrupted(t *testing.T) {
	cache := t.TempDir()
	build := &Build{Dir: filepath.Join(cache, "key")}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := build.Run(ctx, &bytes.Buffer{}); err == nil {
		t.Error("no error")
	}
	left, err := filepath.Glob(filepath.Join(cache, "key*"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(cache, "key.lock")}; !slices.Equal(left, want) {
		t.Errorf("left %v", left)
	}
}
