// Package image makes a reproducible container image out of files and a base:
// the same content gives the same digest on any machine and any day. It
// neither compiles nor pushes.
package image

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Config is what an image says of how it is run.
type Config struct {
	Env         []string // NAME=value; a base's variable of the same name is replaced
	Labels      map[string]string
	Annotations map[string]string // on the manifest, and on the index over several
	Port        int               // exposed, TCP; 0 for none
	User        string
	Entrypoint  []string
	WorkingDir  string
}

// epoch is when everything in an image was made: a real date would move the
// digest without a change of content.
var epoch = time.Unix(0, 0).UTC()

// Assemble stacks layers on base and returns an OCI image. Base layers keep
// their bytes, so that registries and nodes that have them need no copy.
func Assemble(base v1.Image, platform v1.Platform, layers []Layer, config Config) (v1.Image, error) {
	baseConfig, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the base image's config: %w", err)
	}
	addenda, err := inherited(base, baseConfig.History)
	if err != nil {
		return nil, err
	}
	for _, layer := range layers {
		addenda = append(addenda, mutate.Addendum{
			Layer: layer, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "fibership build-image", Comment: layer.Comment()},
		})
	}
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	if img, err = mutate.Append(img, addenda...); err != nil {
		return nil, fmt.Errorf("stack layers: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Created = v1.Time{Time: epoch}
	file.OS, file.Architecture, file.Variant = platform.OS, platform.Architecture, platform.Variant
	file.Config = run(baseConfig.Config, config)
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, err
	}
	if len(config.Annotations) > 0 {
		img = mutate.Annotations(img, config.Annotations).(v1.Image)
	}
	return img, nil
}

// inherited are the layers of the base, with its history as far as it tells
// of layers.
func inherited(base v1.Image, history []v1.History) ([]mutate.Addendum, error) {
	layers, err := base.Layers()
	if err != nil {
		return nil, fmt.Errorf("read the base image's layers: %w", err)
	}
	told := slices.DeleteFunc(slices.Clone(history), func(h v1.History) bool { return h.EmptyLayer })
	addenda := make([]mutate.Addendum, 0, len(layers))
	for i, layer := range layers {
		mediaType, err := layer.MediaType()
		if err != nil {
			return nil, err
		}
		a := mutate.Addendum{Layer: layer, MediaType: oci(mediaType)}
		if i < len(told) && len(told) == len(layers) {
			a.History = told[i]
		}
		addenda = append(addenda, a)
	}
	return addenda, nil
}

// oci names a layer's type as OCI does; the bytes are the same.
func oci(t types.MediaType) types.MediaType {
	switch t {
	case types.DockerLayer:
		return types.OCILayer
	case types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	default:
		return t
	}
}

// run puts config over what the base says.
func run(base v1.Config, config Config) v1.Config {
	c := *base.DeepCopy()
	c.Entrypoint, c.Cmd = config.Entrypoint, nil
	c.Healthcheck = nil // the base's is about another program
	c.User = cmp.Or(config.User, c.User)
	c.WorkingDir = cmp.Or(config.WorkingDir, c.WorkingDir)
	for _, pair := range config.Env {
		name, _, _ := strings.Cut(pair, "=")
		c.Env = slices.DeleteFunc(c.Env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		c.Env = append(c.Env, pair)
	}
	if config.Port > 0 {
		c.ExposedPorts = map[string]struct{}{fmt.Sprintf("%d/tcp", config.Port): {}}
	}
	if len(config.Labels) > 0 {
		labels := maps.Clone(c.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, config.Labels)
		c.Labels = labels
	}
	return c
}

// Index puts images of several platforms under one digest, in the order of
// their platforms' names.
func Index(images map[string]v1.Image, annotations map[string]string) (v1.ImageIndex, error) {
	addenda := make([]mutate.IndexAddendum, 0, len(images))
	for _, name := range slices.Sorted(maps.Keys(images)) {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return nil, fmt.Errorf("platform %q: %w", name, err)
		}
		descriptor, err := partial.Descriptor(images[name])
		if err != nil {
			return nil, err
		}
		addenda = append(addenda, mutate.IndexAddendum{
			Add:        images[name],
			Descriptor: v1.Descriptor{MediaType: descriptor.MediaType, Size: descriptor.Size, Digest: descriptor.Digest, Platform: platform},
		})
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), addenda...)
	if len(annotations) > 0 {
		index = mutate.Annotations(index, annotations).(v1.ImageIndex)
	}
	return index, nil
}
