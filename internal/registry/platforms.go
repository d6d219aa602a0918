package registry

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Platforms tells what an image is for: an index by its entries, a plain image
// by its configuration. None is told where the registry holds no such words, as
// of what is no image. The error is a *NotFoundError where there is nothing.
func (c *Client) Platforms(ctx context.Context, digest name.Digest) ([]v1.Platform, error) {
	var platforms []v1.Platform
	err := c.request(ctx, "look up "+digest.String(), digest.Context(), transport.PullScope, func(o []remote.Option) error {
		found, err := remote.Get(digest, o...)
		if err == nil {
			platforms, err = platformsOf(found)
		}
		return missing(digest, err)
	})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", digest, err)
	}
	return platforms, nil
}

func platformsOf(found *remote.Descriptor) ([]v1.Platform, error) {
	switch {
	case found.MediaType.IsIndex():
		index, err := v1.ParseIndexManifest(bytes.NewReader(found.Manifest))
		if err != nil {
			return nil, err
		}
		var platforms []v1.Platform
		for _, m := range index.Manifests {
			switch {
			case m.Platform == nil && m.MediaType.IsImage():
				return nil, nil // an entry that may be for anything
			case m.Platform == nil, m.Platform.OS == "unknown": // what is about the image, and not one
			default:
				platforms = append(platforms, *m.Platform)
			}
		}
		return platforms, nil
	case found.MediaType.IsImage():
		img, err := found.Image()
		if err != nil {
			return nil, err
		}
		config, err := img.ConfigFile()
		if err != nil || config.OS == "" || config.Architecture == "" {
			return nil, err
		}
		return []v1.Platform{*config.Platform()}, nil
	}
	return nil, nil
}

// Platforms is Client.Platforms for one question.
func Platforms(ctx context.Context, digest name.Digest, options Options) ([]v1.Platform, error) {
	return New(options).Platforms(ctx, digest)
}

// Parts is the digests of the manifests that an index names: what a node may
// say that it runs, where it was told to run the index. None for what is no
// index. The error is a *NotFoundError where there is nothing.
func (c *Client) Parts(ctx context.Context, digest name.Digest) ([]v1.Hash, error) {
	raw, descriptor, err := c.Manifest(ctx, digest)
	if err != nil || !descriptor.MediaType.IsIndex() {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", digest, err)
	}
	var parts []v1.Hash
	for _, m := range index.Manifests {
		parts = append(parts, m.Digest)
	}
	return parts, nil
}

// Parts is Client.Parts for one question.
func Parts(ctx context.Context, digest name.Digest, options Options) ([]v1.Hash, error) {
	return New(options).Parts(ctx, digest)
}
