// Package build is the deed behind build-image: it tests and compiles a Go
// service, puts it into an image and pushes that. It knows the order of these
// things and what is gated on what; how each is done is the business of
// gobuild, image and registry, and inputs and summaries are the edge's.
package build

import (
	"context"
	"fmt"
	"sync"
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
	TestsCache bool         // a suite that passed for the same files is not run again
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
	Layers    []Layer   // of the first platform
	Size      int64     // compressed bytes, every blob counted once
	Previous  *Previous // what a tag pointed at before; nil where nothing did or nothing changed
	Tests     *gobuild.Tests

	TestsReused bool // they passed for the same files before, and were not run

	Seconds map[string]float64 // by phase
}

// Layer is one layer for people to read of.
type Layer struct {
	What   string
	Digest v1.Hash // of the compressed bytes
	Size   int64   // compressed bytes
}

// Toolchain tests, compiles and describes the plan's source.
type Toolchain interface {
	Describer
	Compiler
	Tester
	Fingerprinter
	Embedder
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

// An Embedder lists the files that a binary carries in itself.
type Embedder interface {
	Embeds(ctx context.Context, target gobuild.Target) ([]string, error)
}

// A Fingerprinter hashes what a build and a suite depend on.
type Fingerprinter interface {
	Fingerprint(ctx context.Context, targets []gobuild.Target) (gobuild.Fingerprint, error)
	SuiteFingerprint(ctx context.Context, suite gobuild.Suite) (string, error)
}

// Registry is where bases come from and images go to.
type Registry interface {
	Login(ctx context.Context, repository name.Repository) error
	Resolve(ctx context.Context, ref name.Reference) (name.Digest, error)
	Image(ctx context.Context, ref name.Reference, platform v1.Platform) (v1.Image, error)
	Exists(ctx context.Context, digest name.Digest) error
	Head(ctx context.Context, ref name.Reference) (*v1.Descriptor, error)
	Manifest(ctx context.Context, ref name.Reference) ([]byte, v1.Descriptor, error)
	PushBlobs(ctx context.Context, img v1.Image, repository name.Repository) error
	Push(ctx context.Context, content registry.Content, repository name.Repository) (name.Digest, error)
	Tag(ctx context.Context, tag name.Tag, content registry.Taggable) error
}

// Build is one build under way.
type Build struct {
	Plan
	Toolchain
	Registry Registry
	// Create makes the plan's repository where it is not there yet; nil where
	// the registry does that by itself, or nobody asked for it.
	Create func(ctx context.Context, repository name.Repository) (made bool, err error)
	Log    progress.Log
}

// Run carries the plan out. Where the registry remembers a build of the same
// inputs, only what it does not tell is done. Else tests run beside the
// compiler, and nothing reaches the registry before all have succeeded.
func (b *Build) Run(ctx context.Context) (Result, error) {
	result := Result{Seconds: map[string]float64{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whatever is still being asked when all is over
	on := b.base(ctx)
	var at phase
	at.enter("reading the package")
	defer progress.Beat(ctx, b.Log, heartbeat, at.String)()
	main, err := b.Describe(ctx)
	if err != nil {
		return result, err
	}
	b.Log.Linef("package %s with %s", main.ImportPath, main.GoVersion)
	search := b.search(ctx, main, on)
	if r, err := search.answer(ctx, lookUpGrace); err != nil {
		return result, err
	} else if r != nil {
		if done, err := b.reuse(ctx, search.keys, r, &result); done {
			return result, err
		}
	}

	at.enter("testing and compiling")
	end := b.Log.Group("Test and compile")
	content, err := b.make(ctx, main, on, search, &result)
	end()
	if err != nil {
		return result, err
	}
	if b.Layout != "" {
		if err := b.layout(content); err != nil {
			return result, err
		}
	}
	if !b.Push {
		return result, nil
	}
	at.enter("pushing")
	defer b.Log.Group("Push")()
	defer timed(result.Seconds, "push")()
	if err := b.push(ctx, content, &result); err != nil {
		return result, err
	}
	return result, b.record(ctx, main, search.keys, result)
}

// record remembers what was built. Where not every package was there to be
// seen before, all are now.
func (b *Build) record(ctx context.Context, main gobuild.Main, k keys, result Result) error {
	if k.build == "" {
		return nil
	}
	if !k.whole {
		inputs, whole, err := b.inputs(ctx, main)
		if err != nil || !whole || inputs != k.inputs {
			b.Log.Linef("not remembered: another module depends on packages of this repository")
			return nil
		}
	}
	r := new(record)
	r.of(result)
	if result.Tests != nil && k.suite != "" {
		r.passed(k.suite, *result.Tests)
	}
	return b.remember(ctx, k, *r)
}

// make tests and builds, side by side, while the registry may still be asked.
// Of several platforms each is pushed when it is linked and the tests have
// passed, but for what names its parts. The first failure ends the others.
func (b *Build) make(ctx context.Context, main gobuild.Main, on base, search *search, result *Result) (registry.Content, error) {
	var (
		tests   gobuild.Tests
		content registry.Content
		parts   blobs
		before  *Previous
	)
	defer timed(result.Seconds, "test and compile")()
	group, ctx := errgroup.WithContext(ctx)
	passed := make(chan struct{})
	if b.Suite == nil {
		close(passed)
	} else {
		group.Go(func() (err error) {
			if tests, err = b.Test(ctx, *b.Suite); err == nil {
				close(passed)
			}
			return err
		})
	}
	linked := func(img v1.Image) {
		// One is pushed next in any case, and a repository may still have to be made.
		if !b.Push || len(b.Platforms) == 1 || b.Create != nil {
			return
		}
		group.Go(func() error {
			select {
			case <-passed:
				return b.Registry.PushBlobs(ctx, img, b.Repository)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}
	group.Go(func() (err error) {
		content, parts, err = b.assemble(ctx, main, on, linked)
		return err
	})
	group.Go(func() error {
		_, err := search.answer(ctx, forever)
		if err == nil && b.Push {
			before = b.previous(ctx)
		}
		return err
	})
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
	result.Platforms, result.Layers, result.Size = parts.platforms, parts.layers, parts.size
	if before != nil && before.Digest != digest {
		result.Previous = before
	}
	return content, nil
}

// push brings content to the registry and lets the tags point at it, each
// only when all that it names is there.
func (b *Build) push(ctx context.Context, content registry.Content, result *Result) error {
	var right, moved []name.Tag
	switch err := b.Registry.Exists(ctx, result.Image); {
	case registry.IsNotFound(err):
		result.Changed, moved = true, b.Tags
		if err := b.create(ctx); err != nil {
			return err
		}
		if _, err := b.Registry.Push(ctx, content, b.Repository); err != nil {
			return err
		}
		b.Log.Linef("pushed %s", result.Image)
	case err != nil:
		return err
	default:
		b.Log.Linef("%s was there already", result.Image)
		if right, moved, err = b.standing(ctx, result.Image); err != nil {
			return err
		}
	}
	result.Pushed, result.Tags = true, right
	if len(b.Tags) == 0 {
		b.Log.Linef("no tags: the image is known by its digest alone")
	}
	return b.tag(ctx, content, moved, result)
}

// create makes the repository where that was asked for.
func (b *Build) create(ctx context.Context) error {
	if b.Create == nil {
		return nil
	}
	made, err := b.Create(ctx, b.Repository)
	if made {
		b.Log.Linef("created repository %s", b.Repository)
	}
	return err
}

// timed notes how long a phase takes.
func timed(seconds map[string]float64, phase string) (stop func()) {
	began := time.Now()
	return func() { seconds[phase] = time.Since(began).Round(time.Millisecond).Seconds() }
}

// heartbeat is how often a build that takes long says that it goes on.
const heartbeat = 15 * time.Second

// phase is what a build is at, and since when. It is safe for concurrent use.
type phase struct {
	mu    sync.Mutex
	name  string
	since time.Time
}

func (p *phase) enter(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.since = name, time.Now()
}

func (p *phase) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("still %s: %v", p.name, time.Since(p.since).Round(time.Second))
}
