package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"
)

// Taggable is a manifest.
type Taggable = remote.Taggable

// Content is an image or an index.
type Content interface {
	remote.Taggable
	partial.Describable
}

// uploads is how many layers are on their way at once.
const uploads = 4

// Push puts content into repository under its digest: layers first, then the
// manifests, each after what it names, so that nothing in the registry ever
// names what is not there. A tag is another matter: see Tag. Pushing what is
// there already costs the question for each blob.
func (c *Client) Push(ctx context.Context, content Content, repository name.Repository) (name.Digest, error) {
	hash, err := content.Digest()
	if err != nil {
		return name.Digest{}, err
	}
	digest := repository.Digest(hash.String())
	err = c.push(ctx, content, digest)
	// The registry has lost, or collected, a blob between our question and the
	// manifest. Asking again finds out which.
	if isBlobUnknown(err) {
		err = c.push(ctx, content, digest)
	}
	if err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", repository, err)
	}
	return digest, nil
}

func (c *Client) push(ctx context.Context, content Content, digest name.Digest) error {
	switch t := content.(type) {
	case v1.ImageIndex:
		children, err := partial.Manifests(t)
		if err != nil {
			return err
		}
		for _, child := range children {
			part, ok := child.(Content)
			if !ok {
				return fmt.Errorf("an index cannot hold %T", child)
			}
			hash, err := part.Digest()
			if err != nil {
				return err
			}
			if err := c.push(ctx, part, digest.Context().Digest(hash.String())); err != nil {
				return err
			}
		}
	case v1.Image:
		if err := c.pushBlobs(ctx, t, digest.Context()); err != nil {
			return err
		}
	}
	return c.put(ctx, digest, content)
}

// PushBlobs puts an image's layers and its configuration into repository, where
// nothing names them yet: what Push needs to find there.
func (c *Client) PushBlobs(ctx context.Context, img v1.Image, repository name.Repository) error {
	if err := c.pushBlobs(ctx, img, repository); err != nil {
		return fmt.Errorf("push %s: %w", repository, err)
	}
	return nil
}

func (c *Client) pushBlobs(ctx context.Context, img v1.Image, repository name.Repository) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	seen := map[v1.Hash]bool{}
	for _, layer := range append(layers, config) {
		hash, err := layer.Digest()
		if err != nil {
			return err
		}
		if seen[hash] {
			continue
		}
		seen[hash] = true
		group.Go(func() error {
			what := "push blob " + hash.Hex[:min(12, len(hash.Hex))]
			return c.request(ctx, what, repository, transport.PushScope, func(o []remote.Option) error {
				return remote.WriteLayer(repository, layer, o...)
			})
		})
	}
	return group.Wait()
}

// put sends one manifest.
func (c *Client) put(ctx context.Context, ref name.Reference, content remote.Taggable) error {
	return c.request(ctx, "push manifest "+ref.Identifier(), ref.Context(), transport.PushScope, func(o []remote.Option) error {
		return remote.Put(ref, content, o...)
	})
}

// Tag lets tag point at content, whose digest must be in the tag's repository.
// A tag moves in one request: it points at the old image or at the new one.
func (c *Client) Tag(ctx context.Context, tag name.Tag, content remote.Taggable) error {
	if err := c.put(ctx, tag, content); err != nil {
		return fmt.Errorf("tag %s: %w", tag, err)
	}
	return nil
}

func isBlobUnknown(err error) bool {
	var status *transport.Error
	if !errors.As(err, &status) || status.StatusCode == http.StatusUnauthorized {
		return false
	}
	for _, d := range status.Errors {
		if d.Code == transport.ManifestBlobUnknownErrorCode || d.Code == transport.BlobUnknownErrorCode {
			return true
		}
	}
	return false
}
