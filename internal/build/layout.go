package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fibership/fibership/internal/image"
	"github.com/fibership/fibership/internal/registry"
)

// layout writes content as the OCI layout that the plan asks for. It is made in
// our own folder and then brought to its place: a checkout can hold links to
// anywhere, and we may be root.
func (b *Build) layout(content registry.Content) error {
	made := filepath.Join(b.Scratch, "layout")
	defer os.RemoveAll(made)
	if err := image.WriteLayout(made, content); err != nil {
		return err
	}
	if err := bring(made, b.Source.Workspace, b.Layout); err != nil {
		return fmt.Errorf("write OCI layout: %w", err)
	}
	return nil
}

// bring copies the folder made to the folder to. Where that is in workspace, no
// link leads out of it.
func bring(made, workspace, to string) error {
	below, err := filepath.Rel(workspace, to)
	if err != nil || !filepath.IsLocal(below) {
		if err := os.MkdirAll(to, 0o755); err != nil { // #nosec G301 -- for later steps
			return err
		}
		workspace, below = to, "."
	}
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(os.DirFS(made), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(below, filepath.FromSlash(name))
		if entry.IsDir() {
			return root.MkdirAll(target, 0o755)
		}
		in, err := os.Open(filepath.Join(made, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := root.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}
