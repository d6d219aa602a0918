package build

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
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
// one platform, an index for several. All that needs no compiler is done
// beside it. linked is told of each platform's image as soon as it is there.
func (b *Build) assemble(ctx context.Context, main gobuild.Main, on base, linked func(v1.Image)) (registry.Content, blobs, error) {
	below := sync.OnceValues(func() ([]image.Layer, error) { return b.below(main) })
	var mu sync.Mutex
	images := map[string]v1.Image{}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2) // each compiler uses all cores while it compiles, one while it links
	for _, platform := range b.Platforms {
		group.Go(func() error {
			img, err := b.one(groupCtx, main, platform, on, below)
			if err != nil {
				return err
			}
			linked(img)
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
	index, err := image.Index(images, b.config(main, on.digest.value).Annotations)
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
func (b *Build) one(ctx context.Context, main gobuild.Main, platform v1.Platform, on base, below func() ([]image.Layer, error)) (v1.Image, error) {
	var (
		program image.Layer
		layers  []image.Layer
	)
	ground := on.image(platform)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		program, err = b.program(ctx, main, target(platform))
		return err
	})
	group.Go(func() error { return b.embeds(ctx, target(platform)) })
	group.Go(func() error {
		_, err := ground.wait(ctx) // that there is none ends the compiler
		return err
	})
	group.Go(func() (err error) {
		layers, err = below()
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	// The base's digest is known when its image is.
	return image.Assemble(ground.value, platform, append(slices.Clone(layers), program), b.config(main, on.digest.value))
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
	if id := license(main.ModuleDir); id != "" {
		standard["org.opencontainers.image.licenses"] = id
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
		parts.layers = append(parts.layers, Layer{What: what, Digest: size.Digest, Size: size.Size})
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
