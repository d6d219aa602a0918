package build

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/registry"
)

// reuse does what is left to do where the registry has a record of the build:
// the tests, if they did not pass for the very same files, and the tags. done
// is false where the image has gone, so that all must be done.
func (b *Build) reuse(ctx context.Context, k keys, r *record, result *Result) (done bool, err error) {
	digest := b.Repository.Digest(r.Image)
	right, moved, err := b.standing(ctx, digest)
	if err != nil {
		return true, err
	}
	var content manifestOf
	if len(right) == 0 || len(moved) > 0 { // else a tag has shown that the image is there
		raw, descriptor, err := b.Registry.Manifest(ctx, digest)
		if registry.IsNotFound(err) {
			b.Log.Linef("%s is remembered, and gone", digest)
			return false, nil
		}
		if err != nil {
			return true, err
		}
		content = manifestOf{raw, descriptor.MediaType}
	}
	result.Image, result.Reused = digest, true
	result.Platforms, result.Layers, result.Size = r.Platforms, r.Layers, r.Size
	b.Log.Linef("%s was built from the same inputs: nothing is compiled", digest)

	fresh, err := b.testFor(ctx, k, r, result)
	if err != nil {
		return true, err
	}
	result.Pushed, result.Tags = true, right
	if err := b.tag(ctx, content, moved, result); err != nil {
		return true, err
	}
	if fresh {
		return true, b.remember(ctx, k, *r)
	}
	return true, nil
}

// testFor runs the suite unless r tells that it passed; fresh says that r now
// tells more than it did.
func (b *Build) testFor(ctx context.Context, k keys, r *record, result *Result) (fresh bool, err error) {
	if b.Suite == nil {
		return false, nil
	}
	if result.Tests = r.suite(k.suite); result.Tests != nil {
		result.TestsReused = true
		b.Log.Linef("tests passed for the same files before")
		return false, nil
	}
	defer b.Log.Group("Test")()
	defer timed(result.Seconds, "test")()
	tests, err := b.Test(ctx, *b.Suite)
	result.Tests = &tests
	if err != nil || k.suite == "" {
		return false, err
	}
	r.passed(k.suite, tests)
	return true, nil
}

// standing asks where the tags point. That an image is there says nothing of
// its tags: after a revert they point at the image of the commit that was
// taken back.
func (b *Build) standing(ctx context.Context, digest name.Digest) (right, moved []name.Tag, err error) {
	points := make([]string, len(b.Tags)) // to a digest, or to nothing
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(tagsAtOnce)
	for i, tag := range b.Tags {
		group.Go(func() error {
			descriptor, err := b.Registry.Head(ctx, tag)
			switch {
			case registry.IsNotFound(err):
			case err != nil:
				return fmt.Errorf("look up %s: %w", tag, err)
			default:
				points[i] = descriptor.Digest.String()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for i, tag := range b.Tags {
		if points[i] == digest.DigestStr() {
			right = append(right, tag)
		} else {
			moved = append(moved, tag)
		}
	}
	return right, moved, nil
}

// tagsAtOnce bounds the questions in flight.
const tagsAtOnce = 6

// tag lets tags point at content.
func (b *Build) tag(ctx context.Context, content registry.Taggable, tags []name.Tag, result *Result) error {
	for _, tag := range tags {
		if err := b.Registry.Tag(ctx, tag, content); err != nil {
			return err
		}
		result.Tags = append(result.Tags, tag)
		b.Log.Linef("tagged %s", tag)
	}
	return nil
}
