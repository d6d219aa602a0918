package manifests

import "context"

// Load reads the objects of files, folders, globs and kustomization folders
// below root, in the order given. See decode.go for the bounds.
func Load(ctx context.Context, root string, paths []string) ([]Object, error) {
	panic("being written")
}
