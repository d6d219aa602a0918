// Package workflows runs this repository's workflows and actions for real:
// act plays the runner, a Docker daemon of our own builds the container
// actions from the root Dockerfile, and what they do, they do to the test
// cluster. Here is what that takes; what is asked of it stands in the tests.
// What the actions do with all their inputs is tested elsewhere: here it is
// `uses:` lines, outputs from job to job, and conditions.
package workflows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Rig is what a run of workflows needs on the machine. All of it lies in the
// user's cache folder and is made once.
type Rig struct {
	Root string // of this repository
	dir  string // our cache folder
	key  string // of the toolchain and the modules that our programs are built from
	act  string // the binary
}

// programs are what must be installed, and the Debian package of each.
var programs = []struct{ name, pkg string }{
	{"dockerd", "docker.io"},
	{"docker", "docker.io"},
	{"busybox", "busybox-static"},
	{"git", "git"},
}

// program finds a program of the system, also in folders that are not on
// everybody's PATH. Empty: it is not installed.
func program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// Find says where the rig's parts lie, or are to lie, for the repository at root.
func Find(root string) (*Rig, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	r := &Rig{Root: root, dir: filepath.Join(cache, "fibership", "workflows")}
	if r.key, err = r.hash("go.mod", "go.sum"); err != nil {
		return nil, err
	}
	act, err := r.hash("tools/act/go.mod", "tools/act/go.sum")
	if err != nil {
		return nil, err
	}
	r.act = r.cached("act-" + act)
	return r, nil
}

// Missing says why workflows cannot be run here; nil where they can.
func (r *Rig) Missing() error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("a Docker daemon of our own needs Linux and root")
	}
	if packages := missingPackages(); len(packages) > 0 {
		return fmt.Errorf("not installed: %s", strings.Join(packages, ", "))
	}
	for _, path := range []string{r.act, r.modules(), r.compiled()} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("not prepared: %w", err)
		}
	}
	return nil
}

// Prepare makes what is missing, and tells what it does. It needs the network.
func (r *Rig) Prepare(ctx context.Context, progress io.Writer) error {
	if packages := missingPackages(); len(packages) > 0 {
		if os.Geteuid() != 0 {
			return fmt.Errorf("install %s: that needs root", strings.Join(packages, ", "))
		}
		if err := install(ctx, progress, packages); err != nil {
			return err
		}
	}
	unlock, err := lock(ctx, r.cached("prepare.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.make(r.act, "compile act", progress, func(draft string) error {
		return r.goTool(ctx, nil, "build", "-C", "tools/act", "-trimpath", "-ldflags=-s -w", "-o", draft, "github.com/nektos/act")
	}); err != nil {
		return err
	}
	if err := r.make(r.modules(), "lay out modules for the image's toolchain", progress, func(draft string) error {
		have, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
		if err != nil {
			return fmt.Errorf("go env: %w", err)
		}
		// What the repository's own test needs was fetched and verified before.
		proxy := "GOPROXY=file://" + filepath.Join(strings.TrimSpace(string(have)), "cache", "download")
		return r.goTool(ctx, []string{"GOMODCACHE=" + draft, proxy, "GOSUMDB=off"}, "mod", "download")
	}); err != nil {
		return err
	}
	err = r.make(r.compiled(), "compile the image's dependencies (a minute or two)", progress, func(draft string) error {
		// With the Dockerfile's flags, so that the compile in the image finds them.
		if err := r.goTool(ctx, []string{"GOCACHE=" + r.builds(), "GOMODCACHE=" + r.modules(), "CGO_ENABLED=0"},
			"build", "-trimpath", "-ldflags=-s -w", "-o", os.DevNull, "./cmd/build-image", "./cmd/deploy-staging", "./cmd/promote", "./cmd/rollback"); err != nil {
			return err
		}
		return os.WriteFile(draft, nil, 0o600)
	})
	return errors.Join(err, r.sweep(r.act, r.modules(), r.compiled()))
}

// sweep removes what other versions made and nobody has used for a week.
func (r *Rig) sweep(used ...string) error {
	now := time.Now()
	for _, path := range used {
		if err := os.Chtimes(path, now, now); err != nil {
			return err
		}
	}
	for _, kind := range []string{"act-*", "modules-*", "compiled-*"} {
		paths, err := filepath.Glob(r.cached(kind))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > 7*24*time.Hour {
				if err := discard(path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// modules and builds are the caches of the toolchain in the image. What is
// compiled is of use to other versions of the modules too: compiled says that
// all of this version's is there.
func (r *Rig) modules() string  { return r.cached("modules-" + r.key) }
func (r *Rig) builds() string   { return r.cached("builds") }
func (r *Rig) compiled() string { return r.cached("compiled-" + r.key) }

func (r *Rig) cached(elements ...string) string {
	return filepath.Join(append([]string{r.dir}, elements...)...)
}

// hash is a short name for the toolchain and some files of the repository.
func (r *Rig) hash(files ...string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH)
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(r.Root, file))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d\n%s", file, len(content), content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// make makes path where it is not there. It is there when it is complete.
func (r *Rig) make(path, what string, progress io.Writer, fill func(draft string) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	begun := time.Now()
	fmt.Fprintf(progress, "workflows: %s …\n", what)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- a container's user reads it
		return err
	}
	draft := path + ".draft"
	if err := discard(draft); err != nil {
		return err
	}
	if err := fill(draft); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", what, err), discard(draft))
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	fmt.Fprintf(progress, "workflows: %s: %.0f s\n", what, time.Since(begun).Seconds())
	return nil
}

// discard removes a folder, also one that the go command made read-only.
func discard(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			return os.Chmod(path, 0o700) // #nosec G302 -- a folder
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

func (r *Rig) goTool(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.Root
	cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	return run(cmd)
}

// run gives the end of what a command says where it fails.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out[max(0, len(out)-4096):])
	}
	return nil
}

func missingPackages() []string {
	var missing []string
	for _, p := range programs {
		if program(p.name) == "" && !slices.Contains(missing, p.pkg) {
			missing = append(missing, p.pkg)
		}
	}
	return missing
}

// install installs Debian packages, and starts no daemon: docker.io would
// start one for the whole machine, with bridges and firewall rules. Under run
// level 1 Debian starts no services.
func install(ctx context.Context, progress io.Writer, packages []string) error {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s: there is no apt-get here; install them by hand", strings.Join(packages, ", "))
	}
	fmt.Fprintf(progress, "workflows: install %s …\n", strings.Join(packages, ", "))
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if err := run(cmd); err != nil {
			return err
		}
	}
	return nil
}

// lock waits for a lock that ends with the process, or with unlock.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // #nosec G301 -- a container's user passes it
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a descriptor
		switch {
		case err == nil:
			return func() { _ = file.Close() }, nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for %s: %w", path, context.Cause(ctx)), file.Close())
		case <-tick.C:
		}
	}
}
