package gobuild

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/fibership/fibership/internal/progress"
)

func TestCaches_lieInTheWorkspaceUnlessNamed(t *testing.T) {
	workspace := t.TempDir()
	environ, _, err := Caches([]string{"GOCACHE=/elsewhere"}, workspace)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"GOCACHE=/elsewhere", "GOMODCACHE=" + filepath.Join(workspace, CacheDir, "modules")}
	if !slices.Equal(environ, want) {
		t.Errorf("environment %v, want %v", environ, want)
	}
	if _, err := os.Stat(filepath.Join(workspace, CacheDir, "modules")); err != nil {
		t.Error(err)
	}
}

func TestCaches_followNoLink(t *testing.T) {
	for _, link := range []string{CacheDir, filepath.Join(CacheDir, "build"), filepath.Join(CacheDir, "build-tests")} {
		workspace, elsewhere := t.TempDir(), t.TempDir()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(workspace, link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, filepath.Join(workspace, link)); err != nil {
			t.Fatal(err)
		}
		environ, _, err := Caches(nil, workspace)
		if err == nil || len(environ) != 0 {
			t.Errorf("with a link at %s: error %v, environment %v", link, err, environ)
		}
		if entries, _ := os.ReadDir(elsewhere); len(entries) > 0 {
			t.Errorf("with a link at %s: %s was written to where it leads", link, entries[0].Name())
		}
	}
}

func TestCaches_areGivenBackToTheCheckoutsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	workspace := t.TempDir()
	const owner = 1001
	if err := os.Chown(workspace, owner, owner); err != nil {
		t.Fatal(err)
	}
	_, release, err := Caches(nil, workspace)
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(workspace, CacheDir, "modules", "m@v1")
	if err := os.Mkdir(module, 0o555); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(workspace, CacheDir, "build", "link")); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if info := lstat(t, module); info.Sys().(*syscall.Stat_t).Uid != owner || info.Mode().Perm() != 0o755 {
		t.Errorf("a module's folder belongs to user %d, %s", info.Sys().(*syscall.Stat_t).Uid, info.Mode())
	}
	if info := lstat(t, secret); info.Sys().(*syscall.Stat_t).Uid == owner {
		t.Error("what a link leads to was given away")
	}
}

func TestCaches_areNoPartOfTheRepository(t *testing.T) {
	workspace := t.TempDir()
	toolchain := New(Source{Workspace: workspace, Dir: workspace, Package: "."}, os.Environ(), progress.Discard)
	before, err := toolchain.SuiteFingerprint(t.Context(), Suite{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Caches(nil, workspace); err != nil {
		t.Fatal(err)
	}
	after, err := toolchain.SuiteFingerprint(t.Context(), Suite{})
	if err != nil || after != before {
		t.Errorf("the fingerprint of the tests changed with the caches: %v", err)
	}
	if file, ok := toolchain.inWorkspace(workspace, CacheDir+"/modules/m@v1/m.go"); ok {
		t.Errorf("%s is taken for a file of the repository", file)
	}
}

func lstat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
