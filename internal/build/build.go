// Package build is the deed behind build-image: it tests and compiles a Go
// service, puts it into an image and pushes that. It knows the order of these
// things and what is gated on what; how each is done is the business of
// gobuild, image and registry, and inputs and summaries are the edge's.
package build

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/image"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/registry"
)

// Plan is everything that is decided before work begins.
type Plan struct {
	Source     gobuild.Source
	Suite      *gobuild.Suite // nil: tests are skipped
	Repository name.Repository
	Tags       []name.Tag // all in Repository
	Platforms  []v1.Platform
	Base       name.Reference // nil: the built-in root file system
	Includes   []image.Inclusion
	Config     image.Config // entry point and working directory are ours
	Push       bool
	Layout     string // folder for an OCI layout; empty for none
	Scratch    string // folder for what is made on the way
}

// Result tells how far a build came; it is meaningful beside an error too.
type Result struct {
	Image     name.Digest // zero until the digest is known
	Pushed    bool
	Changed   bool       // false: the registry had this very image already
	Reused    bool       // found by its inputs, so nothing was compiled
	Tags      []name.Tag // that point at the image now
	Platforms map[string]v1.Hash
	Layers    []Layer // of the first platform
	Size      int64   // compressed bytes, every blob counted once
	Tests     *gobuild.Tests
	Seconds   map[string]float64 // by phase
}

// Layer is one layer for people to read of.
type Layer struct {
	What string
	Size int64 // compressed bytes
}

// Toolchain tests, compiles and describes the plan's source.
type Toolchain interface {
	Describer
	Compiler
	Tester
}

// A Describer says what the main package is.
type Describer interface {
	Describe(ctx context.Context) (gobuild.Main, error)
}

// A Compiler writes the binary for a target to a file.
type Compiler interface {
	Compile(ctx context.Context, target gobuild.Target, out string) error
}

// A Tester runs a suite.
type Tester interface {
	Test(ctx context.Context, suite gobuild.Suite) (gobuild.Tests, error)
}

// Registry is where bases come from and images go to.
type Registry interface {
	Login(ctx context.Context, repository name.Repository) error
	Resolve(ctx context.Context, ref name.Reference) (name.Digest, error)
	Image(ctx context.Context, ref name.Reference, platform v1.Platform) (v1.Image, error)
	Exists(ctx context.Context, digest name.Digest) error
	Head(ctx context.Context, ref name.Reference) (*v1.Descriptor, error)
	Push(ctx context.Context, content registry.Content, repository name.Repository) (name.Digest, error)
	Tag(ctx context.Context, tag name.Tag, content registry.Taggable) error
}

// Build is one build under way.
type Build struct {
	Plan
	Toolchain
	Registry Registry
	Log      progress.Log
}

// Run carries the plan out. Tests run beside the compiler and the base's
// download; nothing reaches the registry before all have succeeded.
func (b *Build) Run(ctx context.Context) (Result, error) {
	result := Result{Seconds: map[string]float64{}}
	main, err := b.Describe(ctx)
	if err != nil {
		return result, err
	}
	b.Log.Linef("package %s with %s", main.ImportPath, main.GoVersion)

	end := b.Log.Group("Test and compile")
	content, err := b.make(ctx, main, &result)
	end()
	if err != nil {
		return result, err
	}
	if b.Layout != "" {
		if err := image.WriteLayout(b.Layout, content); err != nil {
			return result, err
		}
	}
	if !b.Push {
		return result, nil
	}
	defer b.Log.Group("Push")()
	defer timed(result.Seconds, "push")()
	return result, b.push(ctx, content, &result)
}

// make tests and builds, side by side. The first failure ends the other.
func (b *Build) make(ctx context.Context, main gobuild.Main, result *Result) (registry.Content, error) {
	var (
		tests   gobuild.Tests
		content registry.Content
		blobs   blobs
	)
	defer timed(result.Seconds, "test and compile")()
	group, ctx := errgroup.WithContext(ctx)
	if b.Suite != nil {
		group.Go(func() (err error) {
			tests, err = b.Test(ctx, *b.Suite)
			return err
		})
	}
	group.Go(func() (err error) {
		content, blobs, err = b.assemble(ctx, main)
		return err
	})
	if b.Push {
		group.Go(func() error { return b.Registry.Login(ctx, b.Repository) })
	}
	err := group.Wait()
	if b.Suite != nil {
		result.Tests = &tests
	}
	if err != nil {
		return nil, err
	}
	digest, err := content.Digest()
	if err != nil {
		return nil, err
	}
	result.Image = b.Repository.Digest(digest.String())
	result.Platforms, result.Layers, result.Size = blobs.platforms, blobs.layers, blobs.size
	return content, nil
}

// push brings content to the registry and lets the tags point at it, each
// only when all that it names is there.
func (b *Build) push(ctx context.Context, content registry.Content, result *Result) error {
	switch err := b.Registry.Exists(ctx, result.Image); {
	case registry.IsNotFound(err):
		result.Changed = true
		if _, err := b.Registry.Push(ctx, content, b.Repository); err != nil {
			return err
		}
		b.Log.Linef("pushed %s", result.Image)
	case err != nil:
		return err
	default:
		b.Log.Linef("%s was there already", result.Image)
	}
	result.Pushed = true
	return b.tag(ctx, content, result)
}

// tag sets every tag of the plan that does not point at content yet. That the
// image was there says nothing of its tags: after a revert they point at the
// image of the commit that was taken back.
func (b *Build) tag(ctx context.Context, content registry.Taggable, result *Result) error {
	for _, tag := range b.Tags {
		if !result.Changed {
			descriptor, err := b.Registry.Head(ctx, tag)
			if err != nil && !registry.IsNotFound(err) {
				return fmt.Errorf("look up %s: %w", tag, err)
			}
			if err == nil && descriptor.Digest.String() == result.Image.DigestStr() {
				result.Tags = append(result.Tags, tag)
				continue
			}
		}
		if err := b.Registry.Tag(ctx, tag, content); err != nil {
			return err
		}
		result.Tags = append(result.Tags, tag)
		b.Log.Linef("tagged %s", tag)
	}
	if len(b.Tags) == 0 {
		b.Log.Linef("no tags: the image is known by its digest alone")
	}
	return nil
}

// timed notes how long a phase takes.
func timed(seconds map[string]float64, phase string) (stop func()) {
	began := time.Now()
	return func() { seconds[phase] = time.Since(began).Round(time.Millisecond).Seconds() }
}
