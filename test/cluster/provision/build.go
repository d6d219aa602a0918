//go:build linux

package provision

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	cluster "github.com/fibership/fibership/test/cluster"
)

const kubernetesVersion = "v1.34.4"

// Build is the compiled Kubernetes, cached by all that goes into it.
type Build struct {
	// Dir holds the programs kubernetes, kubectl and pause once Run has returned.
	Dir string
	// Version names the sources of the programs and of the rig that runs them.
	Version string
}

// NewBuild finds the place below the folder cache for a build of the embedded sources. Whether it is there already is
// for Run to see.
func NewBuild(cache string) (*Build, error) {
	programs, err := hashSources("go.mod", "go.sum", "kubernetes", "nameserver", "pause")
	if err != nil {
		return nil, err
	}
	everything, err := hashSources(".")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(strings.Join(append(compileArgs(), programs, runtime.Version(), runtime.GOARCH), "\n")))
	key := hex.EncodeToString(sum[:8])
	return &Build{Dir: filepath.Join(cache, key), Version: kubernetesVersion + "-" + everything[:12]}, nil
}

// compileArgs are go build's, the same for every program. Clients take a server without a version for an ancient one.
func compileArgs() []string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(kubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	linker := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		linker = append(linker,
			"-X", pkg+".gitVersion="+kubernetesVersion,
			"-X", pkg+".gitMajor="+major,
			"-X", pkg+".gitMinor="+minor,
			"-X", pkg+".gitTreeState=clean")
	}
	return []string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join(linker, " ")}
}

func hashSources(roots ...string) (string, error) {
	hash := sha256.New()
	for _, root := range roots {
		err := fs.WalkDir(cluster.Source, root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := cluster.Source.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("hash the sources: %w", err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Run compiles the programs unless they are there, and tells on progress how far it is. Two at once are one: the second
// waits for the first.
func (b *Build) Run(ctx context.Context, progress io.Writer) error {
	if b.complete() {
		return nil
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("compile Kubernetes: %w: install Go %s", err, runtime.Version())
	}
	if err := os.MkdirAll(filepath.Dir(b.Dir), 0o755); err != nil {
		return err
	}
	what := "compile Kubernetes " + kubernetesVersion
	return during(ctx, progress, what, func(ctx context.Context, say func(string)) error {
		say("(another process compiles it)")
		lock, err := os.OpenFile(b.Dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Close() }()
		if err := waitForLock(ctx, lock); err != nil || b.complete() {
			return err
		}
		return b.compile(ctx, goTool, say)
	})
}

func waitForLock(ctx context.Context, lock *os.File) error {
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || (!errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR)) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (b *Build) complete() bool {
	_, err := os.Stat(filepath.Join(b.Dir, "kubectl"))
	return err == nil
}

// compile works in a folder beside b.Dir and renames it at the end: b.Dir is complete or not there.
func (b *Build) compile(ctx context.Context, goTool string, say func(string)) error {
	draft := b.Dir + ".draft"
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(draft) }()
	source, programs := filepath.Join(draft, "source"), filepath.Join(draft, "programs")
	for _, dir := range []string{source, programs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.CopyFS(source, cluster.Source); err != nil {
		return fmt.Errorf("write the sources: %w", err)
	}
	for _, name := range []string{"pause", "kubernetes"} {
		if err := compileProgram(ctx, goTool, source, programs, name, say); err != nil {
			return err
		}
	}
	if err := os.Symlink("kubernetes", filepath.Join(programs, "kubectl")); err != nil {
		return err
	}
	return os.Rename(programs, b.Dir)
}

func compileProgram(ctx context.Context, goTool, source, target, name string, say func(string)) error {
	say("(fetching modules)")
	total, err := countPackages(ctx, goTool, source, name)
	if err != nil {
		return err
	}
	command := goCommand(ctx, goTool, source, append(compileArgs(), "-o", filepath.Join(target, name), "./"+name)...)
	output, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("compile %s: %w", name, err)
	}
	var said bytes.Buffer
	compiled := 0
	for lines := bufio.NewScanner(output); lines.Scan(); {
		line := lines.Text()
		// With -v go names each package as it is compiled; whatever else it says has blanks.
		if strings.ContainsAny(line, " \t") || strings.HasPrefix(line, "#") {
			fmt.Fprintln(&said, line)
			continue
		}
		compiled++
		say(fmt.Sprintf("(%d of at most %d packages, now %s)", compiled, total, line))
	}
	if err := command.Wait(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", name, err, tail(said.Bytes()))
	}
	return nil
}

// countPackages also downloads what the program needs.
func countPackages(ctx context.Context, goTool, source, name string) (int, error) {
	var stderr bytes.Buffer
	command := goCommand(ctx, goTool, source, "list", "-deps", "./"+name)
	command.Stderr = &stderr
	packages, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("list the packages of %s: %w\n%s", name, err, tail(stderr.Bytes()))
	}
	return bytes.Count(packages, []byte("\n")), nil
}

func goCommand(ctx context.Context, goTool, source string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, goTool, args...)
	command.Dir = source
	// Neither flags nor a workspace of the user's may change what is built.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	return command
}
