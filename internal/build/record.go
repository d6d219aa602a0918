package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/image"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/registry"
)

// A record is kept in the image's repository under a tag that is made of the
// hash of everything that went into the image. It names the image and the
// suites that passed for it, so that a runner that has nothing, no cache and
// no modules, finds in one request that there is nothing to do.
//
// Who can write it can push to the repository, and could set any tag anyway.
type record struct {
	Image     string             `json:"image"` // digest
	Platforms map[string]v1.Hash `json:"platforms"`
	Layers    []Layer            `json:"layers"`
	Size      int64              `json:"size"`
	Suites    []passed           `json:"suites,omitempty"` // newest first
}

// passed is a suite that passed, by its fingerprint.
type passed struct {
	Sum      string        `json:"sum"`
	Tests    gobuild.Tests `json:"tests"`
	Coverage float64       `json:"coverage"`
}

// What a record is to registries. Source: OCI image specification 1.1,
// guidance for artifacts.
const (
	recordType       = "application/vnd.fibership.build.v1+json"
	recordAnnotation = "dev.fibership.build"
	maxSuites        = 8
)

// keys are what a build is remembered by; empty where it cannot be.
type keys struct {
	inputs string // all but the base, which may have to be asked for
	build  string
	suite  string
	whole  bool
}

// fingerprint works out the keys. That it cannot is no failure: the build is
// done, and not remembered.
func (b *Build) fingerprint(ctx context.Context, main gobuild.Main) keys {
	inputs, whole, err := b.inputs(ctx, main)
	if err != nil {
		if ctx.Err() == nil {
			b.Log.Linef("not looked up by its inputs: %v", err)
		}
		return keys{}
	}
	k := keys{inputs: inputs, whole: whole}
	if b.Suite == nil || !b.TestsCache {
		return k
	}
	if k.suite, err = b.SuiteFingerprint(ctx, *b.Suite); err != nil && ctx.Err() == nil {
		b.Log.Linef("tests are run in any case: %v", err)
	}
	return k
}

// inputs hashes what makes the image beside the base and the options: the code,
// the files, and the program that puts them together.
func (b *Build) inputs(ctx context.Context, main gobuild.Main) (sum string, whole bool, err error) {
	targets := make([]gobuild.Target, len(b.Platforms))
	for i, p := range b.Platforms {
		targets[i] = target(p)
	}
	code, err := b.Fingerprint(ctx, targets)
	if err != nil {
		return "", false, err
	}
	ours, err := os.Executable()
	if err != nil {
		return "", false, err
	}
	all := sha256.New()
	files := []string{ours}
	if b.Base == nil {
		files = append(files, filepath.Join(main.GoRoot, "lib", "time", "zoneinfo.zip"))
	}
	for _, file := range files {
		digest, err := image.HashFile(file)
		if err != nil {
			return "", false, err
		}
		fmt.Fprintln(all, digest)
	}
	entries, err := b.included(func(string) {})
	if err != nil {
		return "", false, err
	}
	if err := image.HashEntries(all, entries); err != nil {
		return "", false, err
	}
	fmt.Fprintln(all, code.Sum)
	return hex.EncodeToString(all.Sum(nil)), code.Whole, nil
}

// key is what a build of inputs is remembered by.
func (b *Build) key(inputs string, main gobuild.Main, pinned *name.Digest) (string, error) {
	all := sha256.New()
	digest := ""
	if pinned != nil {
		digest = pinned.DigestStr()
	}
	// Encoded, maps are sorted.
	err := json.NewEncoder(all).Encode(struct {
		Inputs string
		Base   string
		Config image.Config
		Main   gobuild.Main
	}{inputs, digest, b.config(main, pinned), gobuild.Main{ImportPath: main.ImportPath, Name: main.Name}})
	return hex.EncodeToString(all.Sum(nil)), err
}

// recordTag is where the record of a key is.
func (b *Build) recordTag(key string) name.Tag { return b.Repository.Tag("key-" + key[:40]) }

// recall asks for the record of k. A registry that does not have it, or holds
// something else there, is a miss.
func (b *Build) recall(ctx context.Context, k keys) (*record, error) {
	if k.build == "" {
		return nil, nil //nolint:nilnil // a miss is no error
	}
	raw, _, err := b.Registry.Manifest(ctx, b.recordTag(k.build))
	if registry.IsNotFound(err) {
		return nil, nil //nolint:nilnil // likewise
	}
	if registry.IsRefused(err) {
		b.Log.Linef("not looked up by its inputs: %v", err)
		return nil, nil //nolint:nilnil // likewise
	}
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(raw)
	if err != nil {
		b.Log.Linef("%s is not used: %v", b.recordTag(k.build), err)
		return nil, nil //nolint:nilnil // likewise
	}
	return r, nil
}

func parseRecord(raw []byte) (*record, error) {
	var manifest struct {
		ArtifactType string
		Config       struct{ MediaType string }
		Annotations  map[string]string
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, err
	}
	if manifest.Config.MediaType != recordType {
		return nil, errors.New("it is no record of a build")
	}
	r := new(record)
	if err := json.Unmarshal([]byte(manifest.Annotations[recordAnnotation]), r); err != nil {
		return nil, err
	}
	if _, err := v1.NewHash(r.Image); err != nil {
		return nil, err
	}
	if len(r.Platforms) == 0 || r.Size <= 0 || len(r.Suites) > maxSuites {
		return nil, errors.New("it is damaged")
	}
	for i := range r.Suites {
		r.Suites[i].Tests.Coverage = r.Suites[i].Coverage
	}
	return r, nil
}

// suite finds the pass of a suite.
func (r *record) suite(sum string) *gobuild.Tests {
	for i := range r.Suites {
		if sum != "" && r.Suites[i].Sum == sum {
			return &r.Suites[i].Tests
		}
	}
	return nil
}

// passed adds the pass of a suite.
func (r *record) passed(sum string, tests gobuild.Tests) {
	tests.Slowest, tests.Failures = nil, nil
	r.Suites = append([]passed{{Sum: sum, Tests: tests, Coverage: tests.Coverage}}, r.Suites...)
	r.Suites = r.Suites[:min(len(r.Suites), maxSuites)]
}

// remember keeps a record. The image is there and whole by now, so that a
// record never promises what is not. A registry that takes no record, or lets
// no tag move, has the image all the same: that is no failure.
func (b *Build) remember(ctx context.Context, k keys, r record) error {
	err := b.keep(ctx, k, r)
	if err != nil && ctx.Err() == nil {
		progress.Warn(b.Log, "build not remembered", fmt.Sprintf("the image is in the registry; what it was made from, and the tests that passed, could not be kept beside it, so the next build does all again: %v", err))
		return nil
	}
	return err
}

func (b *Build) keep(ctx context.Context, k keys, r record) error {
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json")})
	if err != nil {
		return err
	}
	img = mutate.ConfigMediaType(img, recordType)
	img = mutate.Annotations(img, map[string]string{recordAnnotation: string(content)}).(v1.Image)
	if _, err := b.Registry.Push(ctx, img, b.Repository); err != nil {
		return err
	}
	return b.Registry.Tag(ctx, b.recordTag(k.build), img)
}

// of is what a result leaves to be remembered.
func (r *record) of(result Result) {
	r.Image, r.Size, r.Layers = result.Image.DigestStr(), result.Size, slices.Clone(result.Layers)
	r.Platforms = maps.Clone(result.Platforms)
}

// manifestOf is a manifest as the registry has it, to be put under a tag.
type manifestOf struct {
	raw       []byte
	mediaType types.MediaType
}

func (m manifestOf) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifestOf) MediaType() (types.MediaType, error) { return m.mediaType, nil }

// target names a platform as the toolchain does.
func target(p v1.Platform) gobuild.Target {
	return gobuild.Target{OS: p.OS, Arch: p.Architecture, Variant: strings.TrimSpace(p.Variant)}
}
