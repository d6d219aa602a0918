package gobuild

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestHandOver_givesACacheAwayOnlyWhereItMay(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	above := t.TempDir()
	for dir := above; strings.HasPrefix(dir, os.TempDir()) && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "outside")
	cache := filepath.Join(above, "cache")
	for _, dir := range []string{outside, filepath.Join(cache, "a")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(cache, "link")); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) uint32 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Uid
	}
	if err := handOver(cache, nobody, false); err == nil || owner(cache) == nobody {
		t.Errorf("given away unasked: %v", err)
	}
	if err := handOver(cache, nobody, true); err != nil || owner(cache) != nobody || owner(filepath.Join(cache, "a")) != nobody {
		t.Errorf("not given: %v", err)
	}
	if owner(outside) == nobody {
		t.Error("what a link leads to was given away too")
	}
	fresh := filepath.Join(above, "new", "cache")
	if err := handOver(fresh, nobody, false); err != nil || owner(fresh) != nobody {
		t.Errorf("not made: %v", err)
	}
	if err := os.Chmod(above, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := handOver(cache, nobody, true); err == nil {
		t.Error("a cache that cannot be reached was taken for one that can")
	}
}

func TestRegular_takesNothingElseForAFile(t *testing.T) {
	dir := t.TempDir()
	secret, link, pipe := filepath.Join(dir, "secret"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	free, confined := &Toolchain{}, &Toolchain{user: &user{id: nobody}}
	for name, c := range map[string]struct {
		toolchain *Toolchain
		path      string
		want      bool
	}{
		"a file": {free, secret, true}, "a link": {free, link, false}, "a pipe": {free, pipe, false},
		"a file of ours where it should be theirs": {confined, secret, false},
	} {
		file, err := c.toolchain.regular(c.path)
		if got := err == nil; got != c.want {
			t.Errorf("%s: %v", name, err)
		}
		if file != nil {
			_ = file.Close()
		}
	}
}
