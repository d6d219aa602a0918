package gobuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrUnknowable is a build that depends on more than can be fingerprinted.
var ErrUnknowable = errors.New("the build's inputs cannot be told for certain")

// Fingerprint is a hash over everything that the binaries for some targets
// depend on.
type Fingerprint struct {
	Sum string // hex
	// Whole says that every package was seen. Where the module cache is empty,
	// packages of other modules are not; go.sum stands for their bytes. But
	// whether one of them imports a package of ours is then not known, and a
	// build must not be remembered by this fingerprint before it is.
	Whole bool
}

// unknowable are flags that let a build depend on what no list of files tells.
var unknowable = []string{"-overlay", "-modfile", "-mod", "-pgo", "-pkgdir", "-compiler", "-linkshared", "-installsuffix"}

// Fingerprint hashes what a compile for targets reads: files of packages in
// the repository, as go list names them, go.mod, go.sum and their like for all
// others, the toolchain's version and settings, and the flags. It fetches
// nothing, so it costs a fresh machine no download. The error is
// ErrUnknowable where something else has a say, such as a C compiler.
func (t *Toolchain) Fingerprint(ctx context.Context, targets []Target) (Fingerprint, error) {
	env, err := t.settings(ctx)
	if err != nil {
		return Fingerprint{}, err
	}
	if err := t.knowable(env); err != nil {
		return Fingerprint{}, err
	}
	sum := sha256.New()
	note(sum, "fibership build 2", t.source.Package, t.source.LDFlags, strings.Join(t.source.Flags, "\n"), strings.Join(t.source.Tags, ","))
	for _, name := range settingNames {
		if name != "GOMODCACHE" && name != "GOWORK" && name != "GOROOT" {
			note(sum, name, env[name])
		}
	}
	files := map[string]string{} // where a module's description lies, by what it is
	dirs := map[string]bool{t.source.Dir: true}
	whole := true
	for _, target := range targets {
		note(sum, "target", target.String())
		packages, err := t.list(ctx, append(target.environ(), offline...), "-e", "-deps", t.source.Package)
		if err != nil {
			return Fingerprint{}, err
		}
		reached, all := t.reach(packages, env["GOMODCACHE"])
		whole = whole && all
		for _, p := range reached {
			if err := hashPackage(sum, p); err != nil {
				return Fingerprint{}, err
			}
			if p.Module != nil && p.Module.Dir != "" {
				dirs[p.Module.Dir] = true
			}
		}
	}
	work := env["GOWORK"]
	if work == "off" {
		work = ""
	}
	local, err := localModules(work, slices.Sorted(maps.Keys(dirs))...)
	if err != nil {
		return Fingerprint{}, err
	}
	for _, dir := range local {
		if err := t.describeModule(files, dir); err != nil {
			return Fingerprint{}, err
		}
	}
	if work != "" {
		files["go.work"], files["go.work.sum"] = work, work+".sum"
		files["vendor/modules.txt"] = filepath.Join(filepath.Dir(work), "vendor", "modules.txt")
	}
	if err := hashFiles(sum, files); err != nil {
		return Fingerprint{}, err
	}
	return Fingerprint{Sum: hex.EncodeToString(sum.Sum(nil)), Whole: whole}, nil
}

// Embeds lists the files of the repository that the binary for target carries
// in itself, slash-separated and relative to the workspace.
func (t *Toolchain) Embeds(ctx context.Context, target Target) ([]string, error) {
	packages, err := t.list(ctx, append(target.environ(), offline...), "-e", "-deps", t.source.Package)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, p := range packages {
		for _, name := range p.EmbedFiles {
			if file, ok := t.inWorkspace(p.Dir, name); ok {
				files = append(files, file)
			}
		}
	}
	return files, nil
}

// settingNames are what go env tells and the compiler heeds.
var settingNames = []string{
	"CGO_ENABLED", "GO386", "GOAMD64", "GOARM", "GOARM64", "GOEXPERIMENT", "GOFIPS140", "GOFLAGS", "GOMIPS", "GOMIPS64",
	"GOMODCACHE", "GOPPC64", "GORISCV64", "GOROOT", "GOVERSION", "GOWASM", "GOWORK",
}

func (t *Toolchain) settings(ctx context.Context) (map[string]string, error) {
	out, err := t.output(ctx, nil, append([]string{"env", "-json"}, settingNames...)...)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	if err := json.Unmarshal(out, &env); err != nil {
		return nil, fmt.Errorf("read go env: %w", err)
	}
	return env, nil
}

func (t *Toolchain) knowable(env map[string]string) error {
	if env["CGO_ENABLED"] != "0" {
		return fmt.Errorf("%w: cgo is enabled", ErrUnknowable)
	}
	for _, flag := range append(strings.Fields(env["GOFLAGS"]), t.source.Flags...) {
		name, value, _ := strings.Cut("-"+strings.TrimLeft(flag, "-"), "=")
		if name == "-mod" && (value == "readonly" || value == "vendor") {
			continue
		}
		if slices.Contains(unknowable, name) {
			return fmt.Errorf("%w: flag %s", ErrUnknowable, name)
		}
	}
	return nil
}

// reach walks imports from the main package through packages of the
// repository. all says whether that has found every such package: another
// module may import one too, and is not followed because it may not be here.
func (t *Toolchain) reach(packages []*listed, modCache string) (reached []*listed, all bool) {
	byPath := map[string]*listed{}
	local, missing := 0, false
	for _, p := range packages {
		byPath[p.ImportPath] = p
		switch {
		case p.outside(modCache):
		case p.Dir == "":
			missing = true
		default:
			local++
		}
	}
	seen := map[string]bool{}
	// The package that was asked for stands last: dependencies come first.
	for queue := packages[max(0, len(packages)-1):]; len(queue) > 0; {
		p := queue[0]
		queue = queue[1:]
		if seen[p.ImportPath] || p.Dir == "" || p.outside(modCache) {
			continue
		}
		seen[p.ImportPath] = true
		reached = append(reached, p)
		for _, path := range p.Imports {
			if mapped, ok := p.ImportMap[path]; ok {
				path = mapped
			}
			if next := byPath[path]; next != nil {
				queue = append(queue, next)
			}
		}
	}
	slices.SortFunc(reached, func(a, b *listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return reached, !missing && len(reached) == local
}

// outside says whether the package's bytes are vouched for by something else
// than its files: the toolchain's version, or a checksum in go.sum.
func (p *listed) outside(modCache string) bool {
	if p.Standard {
		return true
	}
	rel, err := filepath.Rel(modCache, p.Dir)
	return p.Dir != "" && err == nil && filepath.IsLocal(rel)
}

// hashPackage hashes the files that the compiler reads of a package.
func hashPackage(sum hash.Hash, p *listed) error {
	if len(p.CgoFiles)+len(p.SwigFiles)+len(p.SwigCXXFiles) > 0 {
		return fmt.Errorf("%w: package %s uses cgo", ErrUnknowable, p.ImportPath)
	}
	files := map[string]string{}
	for _, names := range [][]string{p.GoFiles, p.CFiles, p.CXXFiles, p.MFiles, p.HFiles, p.FFiles, p.SFiles, p.SysoFiles, p.EmbedFiles} {
		for _, name := range names {
			files[name] = filepath.Join(p.Dir, name)
		}
	}
	if p.Name == "main" {
		files["default.pgo"] = filepath.Join(p.Dir, "default.pgo") // Source: go help build, -pgo
	}
	note(sum, "package", p.ImportPath)
	return hashFiles(sum, files)
}

// describeModule adds what tells of a module, by its place in the repository.
func (t *Toolchain) describeModule(files map[string]string, dir string) error {
	place, err := filepath.Rel(t.source.Workspace, dir)
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum", "vendor/modules.txt"} {
		files[filepath.ToSlash(place)+"\n"+name] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return nil
}

// hashFiles hashes files under their names; one that is not there counts as
// such.
func hashFiles(sum hash.Hash, files map[string]string) error {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		content, err := hashFile(files[name])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("fingerprint: %w", err)
		}
		note(sum, "file", name, content)
	}
	return nil
}

func hashFile(path string) (string, error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// note hashes words so that none can run into the next.
func note(sum hash.Hash, words ...string) {
	for _, word := range words {
		fmt.Fprintf(sum, "%d:%s\n", len(word), word)
	}
}
