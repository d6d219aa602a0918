package build

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

// base is the image to build on, asked for while other work goes on.
type base struct {
	digest *pending[*name.Digest] // nil for the built-in root file system
	image  func(v1.Platform) *pending[v1.Image]
}

// base begins to pin the base. ctx must last until the image has been pushed
// and written: layers are read with the context that their image was asked for
// with, and only then.
func (b *Build) base(ctx context.Context) base {
	digest := begin(func() (*name.Digest, error) { return b.pin(ctx) })
	return base{digest, func(platform v1.Platform) *pending[v1.Image] {
		return begin(func() (v1.Image, error) {
			pinned, err := digest.wait(ctx)
			if err != nil {
				return nil, err
			}
			if pinned == nil {
				return empty.Image, nil
			}
			img, err := b.Registry.Image(ctx, *pinned, platform)
			if err != nil {
				return nil, fmt.Errorf("base image for %s: %w", platform, err)
			}
			return img, nil
		})
	}}
}

// pin finds the base's digest; nil for the built-in one.
func (b *Build) pin(ctx context.Context) (*name.Digest, error) {
	if b.Base == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	digest, err := b.Registry.Resolve(ctx, b.Base)
	if err != nil {
		return nil, fmt.Errorf("base image: %w", err)
	}
	b.Log.Linef("base image %s", digest)
	return &digest, nil
}

// pending is a value on its way. It is safe for concurrent use.
type pending[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// begin starts f, which ends by a context of its own.
func begin[T any](f func() (T, error)) *pending[T] {
	p := &pending[T]{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.value, p.err = f()
	}()
	return p
}

// wait gives what f did, for as long as ctx lasts.
func (p *pending[T]) wait(ctx context.Context) (T, error) {
	select {
	case <-p.done:
		return p.value, p.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
