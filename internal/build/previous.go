package build

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Previous is an image that a tag pointed at before it was moved.
type Previous struct {
	Tag    name.Tag
	Digest v1.Hash
	Size   int64   // compressed bytes, every blob counted once
	Layers []Layer // of the first platform; What is not known
}

// previousGrace bounds what a comparison may cost: it is told for people, and
// no build waits for a registry's trouble on its account.
const previousGrace = 5 * time.Second

// previous finds what the new image is to be compared with: the image behind
// the first tag that is not named after a commit. That there is none, or none
// that can be read, is no failure.
func (b *Build) previous(ctx context.Context) *Previous {
	ctx, cancel := context.WithTimeout(ctx, previousGrace)
	defer cancel()
	for _, tag := range b.Tags {
		if strings.HasPrefix(tag.TagStr(), "sha-") {
			continue
		}
		raw, descriptor, err := b.Registry.Manifest(ctx, tag)
		if err != nil {
			return nil
		}
		p := &Previous{Tag: tag, Digest: descriptor.Digest}
		seen := map[v1.Hash]bool{}
		if err := b.weigh(ctx, p, raw, seen); err != nil {
			return nil
		}
		return p
	}
	return nil
}

// weigh adds a manifest's blobs to p, and those of the manifests that it names.
func (b *Build) weigh(ctx context.Context, p *Previous, raw []byte, seen map[v1.Hash]bool) error {
	var manifest struct {
		Manifests []v1.Descriptor
		Layers    []v1.Descriptor
		Config    v1.Descriptor
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return err
	}
	for i, child := range manifest.Manifests {
		if i == len(b.Platforms) {
			break // an index of others, which may be long
		}
		raw, _, err := b.Registry.Manifest(ctx, b.Repository.Digest(child.Digest.String()))
		if err != nil {
			return err
		}
		if err := b.weigh(ctx, p, raw, seen); err != nil {
			return err
		}
	}
	first := len(p.Layers) == 0
	for _, d := range manifest.Layers {
		if first {
			p.Layers = append(p.Layers, Layer{Digest: d.Digest, Size: d.Size})
		}
	}
	if len(manifest.Layers) == 0 {
		return nil
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			p.Size += d.Size
		}
	}
	return nil
}
