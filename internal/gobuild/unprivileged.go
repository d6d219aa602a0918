package gobuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Whom a user's code runs as where we are root. Both can read the checkout, and
// neither our memory nor the runner's files. Tests are arbitrary code, so they
// run as a user who can write to nothing that the compiler reads: not to its
// caches and not to its sources.
const (
	nobody = 65532 // the compiler
	tester = 65533 // tests
)

// Unprivileged arranges that from now on the toolchain, and the code that it
// compiles and tests, run as other users, where this process is root. caches
// says that Go's caches may be given to them; without it they must be writable
// for them already. The release function removes what was made for it.
//
// The error is a *PrivilegeError where it cannot be arranged; nothing should
// then be compiled or tested that is not trusted with all that root may read.
func (t *Toolchain) Unprivileged(ctx context.Context, caches bool) (release func(), err error) {
	if os.Geteuid() != 0 {
		return func() {}, nil
	}
	release, err = t.demote(ctx, caches)
	var toolchain *ToolchainError
	if err != nil && !errors.As(err, &toolchain) {
		err = &PrivilegeError{err}
	}
	return release, err
}

// PrivilegeError says why code cannot be compiled and tested by other users.
type PrivilegeError struct{ Cause error }

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("compiler and tests cannot be kept from what root may read: %v", e.Cause)
}

func (e *PrivilegeError) Unwrap() error { return e.Cause }

// Next tells the choice.
func (e *PrivilegeError) Next() string {
	return "run the action in its container, let users 65532 and 65533 reach the checkout and Go's caches, or, where the code and " +
		"its tests may do all that root may, set unprivileged: false"
}

func (t *Toolchain) demote(ctx context.Context, caches bool) (release func(), err error) {
	release = func() {}
	env, err := t.settings(ctx)
	if err != nil {
		return release, err
	}
	out, err := t.output(ctx, nil, "env", "GOCACHE")
	if err != nil {
		return release, err
	}
	for _, dir := range []string{t.source.Workspace, t.source.Dir, env["GOROOT"]} {
		if err := allows(dir, 0o5, tester); err != nil {
			return release, err
		}
	}
	cache, modules := strings.TrimSpace(string(out)), env["GOMODCACHE"]
	// Nothing compiled for tests is of use to the release, whose paths are
	// trimmed, so that a cache of their own costs no work.
	tests := cache + testsSuffix
	for dir, id := range map[string]uint32{cache: nobody, modules: nobody, tests: tester} {
		if err := handOver(dir, id, caches); err != nil {
			return release, err
		}
	}
	show, err := conceal(filepath.Join(t.source.Workspace, ".git"))
	if err != nil {
		return release, err
	}
	var homes []string
	release = func() {
		show()
		for _, home := range homes {
			_ = os.RemoveAll(home)
		}
	}
	for _, u := range []struct {
		id    uint32
		cache string
		who   **user
	}{{nobody, cache, &t.user}, {tester, tests, &t.tests}} {
		home, err := newHome(u.id)
		if err != nil {
			t.user, t.tests = nil, nil
			release()
			return func() {}, err
		}
		homes = append(homes, home)
		*u.who = &user{id: u.id, home: home, places: []string{"GOCACHE=" + u.cache, "GOMODCACHE=" + modules}}
	}
	return release, nil
}

// newHome makes a home for a user, for nobody else's eyes.
func newHome(id uint32) (string, error) {
	home, err := os.MkdirTemp("", "fibership-home-")
	if err != nil {
		return "", err
	}
	if err := os.Chown(home, int(id), int(id)); err != nil {
		return "", errors.Join(err, os.RemoveAll(home))
	}
	return home, nil
}

// conceal closes a folder to all but its owner until show is called. Checking
// out leaves the job's token in .git, and no compiler needs what lies there.
func conceal(dir string) (show func(), err error) {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() { // that of a worktree is a file, which leads out of the checkout
		return func() {}, nil //nolint:nilerr // there is nothing to conceal
	}
	if err := os.Chmod(dir, 0o700); err != nil { // #nosec G302 -- a folder, and narrower than it was
		return nil, err
	}
	return func() { _ = os.Chmod(dir, info.Mode().Perm()) }, nil
}

// allows says whether a user may do to dir, and to every folder above it, what
// the bits of others allow; a folder above needs no more than to be passed.
func allows(dir string, want fs.FileMode, id uint32) error {
	for path := filepath.Clean(dir); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		bits := info.Mode().Perm() & 0o7
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == id {
			bits = info.Mode().Perm() >> 6 & 0o7
		}
		if bits&want != want {
			return fmt.Errorf("user %d may not use %s (%s)", id, path, info.Mode())
		}
		if path == filepath.Dir(path) {
			return nil
		}
		want = 0o1
	}
}

// handOver lets a user write to a cache: it is made where it is not there, and
// given away where that is allowed.
func handOver(dir string, id uint32, give bool) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil { // #nosec G301 -- a cache that others read
			return err
		}
		if err := os.Chown(dir, int(id), int(id)); err != nil {
			return err
		}
	}
	if err := allows(filepath.Dir(dir), 0o1, id); err != nil {
		return err
	}
	if allows(dir, 0o7, id) == nil {
		return nil
	}
	if !give {
		return fmt.Errorf("user %d may not write to %s", id, dir)
	}
	root, err := os.OpenRoot(dir) // what lies there may belong to code that ran before
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, int(id), int(id))
	})
}

// own gives a file or folder that we made to whom the toolchain runs as.
func (t *Toolchain) own(path string) error {
	if t.user == nil {
		return nil
	}
	return os.Chown(path, int(t.user.id), int(t.user.id)) //nolint:gosec // what we made ourselves
}

// regular opens a file that the toolchain wrote. Code that ran as its owner
// may have put anything in its place: a link to a file that only we can read,
// or a pipe that is never written to.
func (t *Toolchain) regular(path string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !info.Mode().IsRegular():
			err = errors.New("not a regular file")
		case t.user != nil && (!ok || stat.Uid != t.user.id):
			err = errors.New("it belongs to user " + strconv.FormatUint(uint64(stat.Uid), 10))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return file, nil
}

// Shield closes this process's memory and environment, as /proc shows them, to
// other processes of the same user; root is not kept out.
func Shield() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
