package build

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/image"
	"github.com/fibership/fibership/internal/registry"
)

// home is the folder of the program in its image, and what it works in.
const home = "/app"

// path that programs without a shell expect all the same.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// blobs is what is told of an image's parts.
type blobs struct {
	platforms map[string]v1.Hash
	layers    []Layer
	size      int64
}

// assemble compiles for every platform and makes the image: a plain one for
// one platform, an index for several.
func (b *Build) assemble(ctx context.Context, main gobuild.Main, base *name.Digest) (registry.Content, blobs, error) {
	below, err := b.below(main)
	if err != nil {
		return nil, blobs{}, err
	}
	bases, err := b.bases(ctx, base)
	if err != nil {
		return nil, blobs{}, err
	}
	config := b.config(main, base)
	var mu sync.Mutex
	images := map[string]v1.Image{}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2) // each compiler uses all cores while it compiles, one while it links
	for _, platform := range b.Platforms {
		group.Go(func() error {
			img, err := b.one(groupCtx, main, platform, bases[platform.String()], below, config)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			images[platform.String()] = img
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, blobs{}, err
	}
	parts, err := tell(images, b.Platforms[0].String())
	if err != nil {
		return nil, blobs{}, err
	}
	if len(images) == 1 {
		return images[b.Platforms[0].String()], parts, nil
	}
	index, err := image.Index(images, config.Annotations)
	return index, parts, err
}

// below are the layers under the program: the built-in root file system where
// there is no base, then what is included. They change less often than it.
func (b *Build) below(main gobuild.Main) ([]image.Layer, error) {
	var layers []image.Layer
	if b.Base == nil {
		root, err := image.Root(main.GoRoot)
		if err != nil {
			return nil, err
		}
		layer, err := image.Write(b.Scratch, "root file system", root)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	if len(b.Includes) == 0 {
		return layers, nil
	}
	entries, err := b.included(func(path string) { b.Log.Linef("left out of the image: %s", path) })
	if err != nil {
		return nil, err
	}
	layer, err := image.Write(b.Scratch, "included files", entries)
	if err != nil {
		return nil, err
	}
	return append(layers, layer), nil
}

// included lists the files that go into the image beside the program.
func (b *Build) included(skipped func(path string)) ([]image.Entry, error) {
	var entries []image.Entry
	for _, in := range b.Includes {
		gathered, err := image.Gather(b.Source.Workspace, b.Source.Dir, in, skipped)
		if err != nil {
			return nil, err
		}
		entries = append(entries, gathered...)
	}
	return entries, nil
}

// one compiles for a platform and puts its image together.
func (b *Build) one(ctx context.Context, main gobuild.Main, platform v1.Platform, base v1.Image, below []image.Layer, config image.Config) (v1.Image, error) {
	dir, err := os.MkdirTemp(b.Scratch, "compile-")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "program")
	target := target(platform)
	b.Log.Linef("compiling for %s", target)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Compile(groupCtx, target, binary) })
	group.Go(func() error { return b.embeds(groupCtx, target) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	entry, err := image.Binary(binary, path.Join(home, main.Name))
	if err != nil {
		return nil, err
	}
	layer, err := image.Write(b.Scratch, "program", []image.Entry{entry})
	if err != nil {
		return nil, err
	}
	b.Log.Linef("compiled for %s: %s, %s compressed", target, bytesize(entry.Size), bytesize(layer.Bytes()))
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	return image.Assemble(base, platform, append(append([]image.Layer{}, below...), layer), config)
}

// SecretError is a file with secrets that would be shipped within the program.
type SecretError struct{ File string }

func (e *SecretError) Error() string {
	return fmt.Sprintf("%s holds secrets, and a go:embed pattern takes it into the program", e.File)
}

// Next tells the two ways out.
func (e *SecretError) Next() string {
	return "narrow the go:embed pattern, or have the file written outside of the repository"
}

// embeds refuses a program that carries what an image must never hold.
func (b *Build) embeds(ctx context.Context, target gobuild.Target) error {
	files, err := b.Embeds(ctx, target)
	if err != nil {
		return err
	}
	for _, file := range files {
		if image.Secret(file) {
			return &SecretError{file}
		}
	}
	return nil
}

// resolveBase pins the base to its digest; nil for the built-in one.
func (b *Build) resolveBase(ctx context.Context) (*name.Digest, error) {
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

// bases gets the base's images by platform.
func (b *Build) bases(ctx context.Context, base *name.Digest) (map[string]v1.Image, error) {
	images := map[string]v1.Image{}
	for _, platform := range b.Platforms {
		if base == nil {
			images[platform.String()] = empty.Image
			continue
		}
		img, err := b.Registry.Image(ctx, *base, platform)
		if err != nil {
			return nil, fmt.Errorf("base image for %s: %w", platform, err)
		}
		images[platform.String()] = img
	}
	return images, nil
}

// config completes the plan's with what follows from content. Labels and
// annotations that the plan names itself win.
func (b *Build) config(main gobuild.Main, base *name.Digest) image.Config {
	config := b.Config
	config.Entrypoint = []string{path.Join(home, main.Name)}
	config.WorkingDir = home
	standard := map[string]string{"org.opencontainers.image.title": main.Name}
	if source := sourceURL(main.ModulePath); source != "" {
		standard["org.opencontainers.image.source"] = source
	}
	if base != nil {
		// The name stands without its tag, so that the tag moves no digest.
		standard["org.opencontainers.image.base.name"] = base.Context().Name()
		standard["org.opencontainers.image.base.digest"] = base.DigestStr()
	} else {
		config.Env = append([]string{searchPath}, config.Env...)
	}
	config.Labels = over(standard, b.Config.Labels)
	config.Annotations = over(standard, b.Config.Annotations)
	return config
}

func over(standard, given map[string]string) map[string]string {
	all := maps.Clone(standard)
	maps.Copy(all, given)
	return all
}

// sourceURL is where a module's path says that it lives.
func sourceURL(module string) string {
	parts := strings.Split(module, "/")
	if len(parts) < 3 {
		return ""
	}
	switch parts[0] {
	case "github.com", "gitlab.com", "bitbucket.org", "codeberg.org":
		return "https://" + strings.Join(parts[:3], "/")
	}
	return ""
}

// tell measures the images' parts.
func tell(images map[string]v1.Image, first string) (blobs, error) {
	parts := blobs{platforms: map[string]v1.Hash{}}
	seen := map[v1.Hash]bool{}
	for platform, img := range images {
		digest, err := img.Digest()
		if err != nil {
			return blobs{}, err
		}
		parts.platforms[platform] = digest
		manifest, err := img.Manifest()
		if err != nil {
			return blobs{}, err
		}
		for _, d := range append(manifest.Layers, manifest.Config) {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				parts.size += d.Size
			}
		}
	}
	layers, err := images[first].Layers()
	if err != nil {
		return blobs{}, err
	}
	for _, layer := range layers {
		size, err := partial.Descriptor(layer)
		if err != nil {
			return blobs{}, err
		}
		what := "base image"
		if told, ok := layer.(interface{ Comment() string }); ok {
			what = told.Comment()
		}
		parts.layers = append(parts.layers, Layer{What: what, Size: size.Size})
	}
	return parts, nil
}

// bytesize is a number of bytes for people.
func bytesize(n int64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
