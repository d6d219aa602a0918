// Package gobuild drives the Go toolchain: it tests, compiles and describes
// the packages of one module or workspace. What it runs is somebody else's
// code, so nothing of ours is handed to it: see Environ. Images and registries
// are no business of this package.
package gobuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fibership/fibership/internal/progress"
)

// Source is the Go code of one service, and how it is built.
type Source struct {
	Workspace string   // absolute; annotations name files relative to it
	Dir       string   // absolute; the module's or workspace's folder
	Package   string   // the main package, as go build takes it from Dir
	Flags     []string // further flags of go build
	LDFlags   string   // further flags of the linker
	Tags      []string // build tags

	// Hidden says whether tests that run apart must not see a file, by its
	// slash-separated path in Workspace, a folder's with a slash at its end; nil
	// hides none.
	Hidden func(path string) bool
}

func (s Source) hides(path string) bool { return s.Hidden != nil && s.Hidden(path) }

// Target is what a binary is compiled for, in the toolchain's words.
type Target struct {
	OS, Arch, Variant string // linux, arm, v7
}

func (t Target) String() string { return path.Join(t.OS, t.Arch, t.Variant) }

// environ gives the variables that choose the target.
func (t Target) environ() []string {
	env := []string{"GOOS=" + t.OS, "GOARCH=" + t.Arch}
	if t.Variant == "" {
		return env
	}
	switch t.Arch {
	case "arm":
		env = append(env, "GOARM="+strings.TrimPrefix(t.Variant, "v"))
	case "amd64":
		env = append(env, "GOAMD64="+t.Variant)
	case "arm64":
		if t.Variant != "v8" { // what OCI calls v8, the toolchain calls v8.0
			env = append(env, "GOARM64="+t.Variant)
		}
	}
	return env
}

// Toolchain runs the go command for one source.
type Toolchain struct {
	source  Source
	environ []string
	user    *user // whom it runs as; nil for whoever we are
	tests   *user // whom tests run as; nil for the same
	log     progress.Log

	checked func(context.Context) error // waits until the caches are known to be whole; nil: nobody looks
}

// New gives the toolchain for source. environ is the whole environment of this
// process; what children see of it is decided by Environ.
func New(source Source, environ []string, log progress.Log) *Toolchain {
	return &Toolchain{source: source, environ: Environ(environ), log: log}
}

// Main is what a main package says of itself.
type Main struct {
	ImportPath string
	Name       string // of the binary, as go build would name it
	ModulePath string
	ModuleDir  string
	GoRoot     string // of the toolchain that compiles it
	GoVersion  string // go1.26.8
}

// NotMainError says that the package given is not the one to build.
type NotMainError struct {
	Package string
	Found   string   // the name in its package clause
	Mains   []string // main packages beside it, as the input would take them
}

func (e *NotMainError) Error() string {
	return fmt.Sprintf("package %s is %q, not a main package", e.Package, e.Found)
}

// Next tells which packages could be given.
func (e *NotMainError) Next() string {
	if len(e.Mains) == 0 {
		return "name the folder of the main package in the input package, and the module's folder in working-directory"
	}
	return "set the input package to one of: " + strings.Join(e.Mains, ", ")
}

// listed is what we read of go list's package records.
// Source: go help list.
type listed struct {
	Dir, ImportPath, Name                               string
	GoFiles, CgoFiles, CFiles, CXXFiles, MFiles, HFiles []string
	FFiles, SFiles, SwigFiles, SwigCXXFiles, SysoFiles  []string
	EmbedFiles                                          []string
	Imports                                             []string
	ImportMap                                           map[string]string
	Standard                                            bool
	Module                                              *struct{ Path, Dir string }
	Error                                               *struct{ Err string }
}

// Describe finds out what the source's package is. It fails where that is no
// main package.
func (t *Toolchain) Describe(ctx context.Context) (Main, error) {
	// First of all, since it fetches the toolchain that go.mod asks for.
	var env struct{ GOROOT, GOVERSION string }
	out, err := t.output(ctx, nil, "env", "-json", "GOROOT", "GOVERSION")
	if err != nil {
		return Main{}, err
	}
	if err := json.Unmarshal(out, &env); err != nil {
		return Main{}, fmt.Errorf("read go env: %w", err)
	}
	packages, err := t.list(ctx, offline, "-e", "-find", t.source.Package)
	if err != nil {
		return Main{}, err
	}
	if len(packages) != 1 {
		return Main{}, &NotMainError{Package: t.source.Package, Found: fmt.Sprintf("%d packages", len(packages)), Mains: t.mains(ctx)}
	}
	p := packages[0]
	if p.Name != "main" {
		// Nothing is listed for a folder without Go files but the reason.
		if p.Name == "" && p.Error != nil {
			return Main{}, &ToolchainError{Verb: "list", Text: p.Error.Err}
		}
		return Main{}, &NotMainError{Package: t.source.Package, Found: p.Name, Mains: t.mains(ctx)}
	}
	main := Main{ImportPath: p.ImportPath, Name: binaryName(p.ImportPath, p.Dir)}
	if p.Module != nil {
		main.ModulePath, main.ModuleDir = p.Module.Path, p.Module.Dir
	}
	main.GoRoot, main.GoVersion = env.GOROOT, env.GOVERSION
	return main, nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// binaryName follows go build: the last element of the import path that is no
// major version.
func binaryName(importPath, dir string) string {
	name := path.Base(importPath)
	if majorVersion.MatchString(name) && path.Dir(importPath) != "." {
		name = path.Base(path.Dir(importPath))
	}
	if importPath == "command-line-arguments" || name == "." || name == "/" {
		name = filepath.Base(dir)
	}
	return name
}

// mains lists the main packages of the module, for an error's advice.
func (t *Toolchain) mains(ctx context.Context) []string {
	packages, err := t.list(ctx, offline, "-e", "-find", "./...")
	if err != nil {
		return nil
	}
	var mains []string
	for _, p := range packages {
		if rel, err := filepath.Rel(t.source.Dir, p.Dir); err == nil && p.Name == "main" {
			mains = append(mains, "./"+filepath.ToSlash(rel))
		}
	}
	return mains
}

// offline lets go list tell of the repository's own packages without fetching
// other modules to find out that they are not among them.
var offline = []string{"GOPROXY=off"}

// list runs go list with the source's tags and decodes its records.
func (t *Toolchain) list(ctx context.Context, env []string, args ...string) ([]*listed, error) {
	command := append([]string{
		"list", "-buildvcs=false",
		"-json=Dir,ImportPath,Name,GoFiles,CgoFiles,CFiles,CXXFiles,MFiles,HFiles,FFiles,SFiles,SwigFiles,SwigCXXFiles,SysoFiles,EmbedFiles,Imports,ImportMap,Standard,Module,Error",
	}, t.tagFlags()...)
	out, err := t.output(ctx, env, append(command, args...)...)
	if err != nil {
		return nil, err
	}
	var packages []*listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := new(listed)
		switch err := decoder.Decode(p); {
		case errors.Is(err, io.EOF):
			return packages, nil
		case err != nil:
			return nil, fmt.Errorf("read go list: %w", err)
		}
		packages = append(packages, p)
	}
}

func (t *Toolchain) tagFlags() []string {
	if len(t.source.Tags) == 0 {
		return nil
	}
	return []string{"-tags=" + strings.Join(t.source.Tags, ",")}
}
