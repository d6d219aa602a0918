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

// programs are what is compiled, in this order.
var programs = []struct{ name, pkg, modules string }{
	{"pause", "./pause", "go.mod"},
	{"kubernetes", "./kubernetes", "go.mod"},
	// Its own choice of modules, as close to Kubernetes' as it allows: packages of both are compiled once.
	{"traefik", "github.com/traefik/traefik/v3/cmd/traefik", "traefik.mod"},
}

// Build is what was compiled, Kubernetes and a gateway, cached by all that goes into it.
type Build struct {
	// Dir holds the programs kubernetes, kubectl, pause and traefik, and in gateway-api the types that the latter
	// speaks, once Run has returned.
	Dir string
	// Version names the sources of the programs and of the rig that runs them.
	Version string
}

// NewBuild finds the place below the folder cache for a build of the embedded sources. Whether it is there already is
// for Run to see.
func NewBuild(cache string) (*Build, error) {
	sources, err := hashSources("go.mod", "go.sum", "traefik.mod", "traefik.sum", "kubernetes", "nameserver", "pause")
	if err != nil {
		return nil, err
	}
	everything, err := hashSources(".")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(strings.Join(append(compileArgs(), sources, runtime.Version(), runtime.GOARCH), "\n")))
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
	what := "compile Kubernetes " + kubernetesVersion + " and Traefik"
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
	source, target := filepath.Join(draft, "source"), filepath.Join(draft, "programs")
	for _, dir := range []string{source, target} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.CopyFS(source, cluster.Source); err != nil {
		return fmt.Errorf("write the sources: %w", err)
	}
	c := compiler{goTool, source, say}
	for _, p := range programs {
		if err := c.compile(ctx, filepath.Join(target, p.name), p.pkg, p.modules); err != nil {
			return fmt.Errorf("compile %s: %w", p.name, err)
		}
	}
	if err := c.copyTypes(ctx, filepath.Join(target, "gateway-api")); err != nil {
		return err
	}
	if err := os.Symlink("kubernetes", filepath.Join(target, "kubectl")); err != nil {
		return err
	}
	return os.Rename(target, b.Dir)
}

// compiler works in the folder source.
type compiler struct {
	goTool string
	source string
	say    func(string)
}

func (c compiler) compile(ctx context.Context, target, pkg, modules string) error {
	c.say("(fetching modules)")
	packages, err := c.list(ctx, "-modfile="+modules, "-deps", pkg)
	if err != nil {
		return err
	}
	total := strings.Count(packages, "\n")
	command := c.command(ctx, append(compileArgs(), "-modfile="+modules, "-o", target, pkg)...)
	output, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
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
		c.say(fmt.Sprintf("(%d of at most %d packages, now %s)", compiled, total, line))
	}
	if err := command.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(said.Bytes()))
	}
	return nil
}

// copyTypes takes the Gateway API's standard types, in the version that Traefik speaks, from their module.
func (c compiler) copyTypes(ctx context.Context, target string) error {
	folder, err := c.list(ctx, "-modfile=traefik.mod", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api")
	if err != nil {
		return fmt.Errorf("find the Gateway API's types: %w", err)
	}
	types := os.DirFS(filepath.Join(strings.TrimSpace(folder), "config", "crd", "standard"))
	if err := os.CopyFS(target, types); err != nil {
		return fmt.Errorf("copy the Gateway API's types: %w", err)
	}
	return nil
}

// list also downloads what is listed.
func (c compiler) list(ctx context.Context, args ...string) (string, error) {
	var stderr bytes.Buffer
	command := c.command(ctx, append([]string{"list"}, args...)...)
	command.Stderr = &stderr
	listed, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("go list %s: %w\n%s", strings.Join(args, " "), err, tail(stderr.Bytes()))
	}
	return string(listed), nil
}

func (c compiler) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, c.goTool, args...)
	command.Dir = c.source
	// Neither flags nor a workspace of the user's may change what is built.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	return command
}
