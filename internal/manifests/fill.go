package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Word stands in a manifest for the release's image.
const Word = "IMAGE"

// Fill puts ref (repository@sha256:…) into every container, init containers
// too, whose image is of the repository, whatever its tag or digest, or is the
// word IMAGE. The error tells the images that were found where none fits.
func Fill(objs []Object, repository, ref string) (filled int, err error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return 0, fmt.Errorf("%q is no image repository: %w", repository, err)
	}
	if _, err := name.NewDigest(ref); err != nil {
		return 0, fmt.Errorf("%q names no image by digest: %w", ref, err)
	}
	var others []string
	for _, o := range objs {
		spec, ok := podSpec(o.Unstructured)
		if !ok {
			continue
		}
		for _, c := range containers(spec) {
			image, _ := c["image"].(string)
			if image != Word && !of(repo, image) {
				others = append(others, fmt.Sprintf("%s (%s, %s)", image, o.title(), o.Place()))
				continue
			}
			c["image"] = ref
			filled++
		}
	}
	if filled > 0 {
		return filled, nil
	}
	if len(others) == 0 {
		return 0, fmt.Errorf("no object has a container that could run %s", repository)
	}
	slices.Sort(others)
	const shown = 10
	if more := len(others) - shown; more > 0 {
		others = append(others[:shown], fmt.Sprintf("and %d more", more))
	}
	return 0, fmt.Errorf("no container has an image of %s or the word %s; found: %s", repository, Word, strings.Join(others, ", "))
}

// of compares as registries do: orders is docker.io/library/orders.
func of(repo name.Repository, image string) bool {
	ref, err := name.ParseReference(image)
	return err == nil && ref.Context().Name() == repo.Name()
}
