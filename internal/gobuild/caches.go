package gobuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// CacheDir is the folder of the workspace in which Caches puts Go's caches. It
// is no part of the repository: no fingerprint counts it, no annotation and no
// list of files names what lies there.
const CacheDir = ".fibership-cache"

// testsSuffix makes of the compiler's GOCACHE the one that is the tests' own.
const testsSuffix = "-tests"

// Caches puts Go's caches below the workspace, where a job can keep them for
// the next: a container's home is gone when the job ends. Those that the
// environment names already stay where they are. with is the environment to go
// on with; release gives the folder back to the checkout's owner, who is the
// one to keep it and to clean it up.
func Caches(environ []string, workspace string) (with []string, release func() error, err error) {
	none := func() error { return nil }
	var named []string
	for _, variable := range []struct{ name, folder string }{{"GOCACHE", "build"}, {"GOMODCACHE", "modules"}} {
		if lookup(environ, variable.name) == "" {
			named = append(named, variable.name+"="+filepath.Join(workspace, CacheDir, variable.folder))
		}
	}
	if len(named) == 0 {
		return environ, none, nil
	}
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return environ, none, err
	}
	defer root.Close()
	folders := []string{filepath.Join(workspace, CacheDir)}
	for _, pair := range named {
		name, path, _ := strings.Cut(pair, "=")
		if folders = append(folders, path); name == "GOCACHE" {
			folders = append(folders, path+testsSuffix)
		}
	}
	for _, path := range folders {
		rel, err := filepath.Rel(workspace, path)
		if err != nil {
			return environ, none, err
		}
		if err := ownFolder(root, rel); err != nil {
			return environ, none, err
		}
	}
	// Whatever collects files for a commit passes over the folder.
	ignore := filepath.Join(CacheDir, ".gitignore")
	if _, err := root.Lstat(ignore); errors.Is(err, fs.ErrNotExist) {
		if err := root.WriteFile(ignore, []byte("*\n"), 0o644); err != nil { // #nosec G306 -- a file of the checkout
			return environ, none, err
		}
	}
	return append(append([]string{}, environ...), named...), func() error { return giveBack(workspace) }, nil
}

// ownFolder makes a folder. A checkout can hold anything, so one that is there
// is taken for what it is: through a link we would give away what it leads to.
func ownFolder(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // #nosec G301 -- a cache that others read
		return err
	}
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is there and is not a folder (%s)", name, info.Mode().Type())
	}
	return nil
}

// giveBack makes the caches the checkout's owner's again, and writable: the go
// command makes modules read-only, and then nobody can clean up but root.
func giveBack(workspace string) error {
	info, err := os.Stat(workspace)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	root, err := os.OpenRoot(filepath.Join(workspace, CacheDir))
	if err != nil {
		return err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if err := root.Chmod(path, 0o755); err != nil { // #nosec G302 -- a cache that others read
				return err
			}
		}
		return root.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
	if err != nil {
		return fmt.Errorf("give the caches in %s back: %w", CacheDir, err)
	}
	return nil
}

// cached says whether a path, relative to the workspace, is of the caches.
func cached(rel string) bool {
	first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	return first == CacheDir
}
