package manifests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fibership/fibership/internal/release"
)

// Bounds of what is read: far above any real service, far below what would
// hurt.
const (
	maxFile    = 16 << 20 // bytes
	maxFiles   = 10_000
	maxObjects = 20_000
)

// Load reads the objects that files, folders (*.yaml, *.yml, *.json, all
// levels), globs (** for any number of folders) and kustomization folders
// hold, in the order given; paths are below root. A folder with a
// kustomization file is built, wherever it is found. Nothing outside root is
// read, also not by a symbolic link, and nothing from the network.
//
// Errors name file and line. Two objects of one name, an object without a
// name, and one larger than a cluster stores are errors. All paths that lead
// nowhere are told in one *PathError, before any file is read.
func Load(ctx context.Context, root string, paths []string) ([]Object, error) {
	opened, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the manifests: %w", err)
	}
	defer opened.Close()
	l := &loader{ctx: ctx, root: opened, tree: opened.FS(), done: map[string]bool{}}
	var leads []lead
	var astray []error
	for _, given := range paths {
		found, err := l.find(root, given)
		leads, astray = append(leads, found), append(astray, err)
	}
	if err := errors.Join(astray...); err != nil {
		return nil, &PathError{err}
	}
	for _, found := range leads {
		if err := l.load(found); err != nil {
			return nil, err
		}
	}
	if err := unique(l.objs); err != nil {
		return nil, err
	}
	if len(l.objs) == 0 {
		return nil, fmt.Errorf("%s: no object in there", strings.Join(paths, ", "))
	}
	return l.objs, nil
}

type loader struct {
	ctx  context.Context
	root *os.Root
	tree fs.FS
	done map[string]bool // what was read already: paths may overlap
	objs []Object
}

// within makes a path relative to root, with slashes.
func within(root, given string) (string, error) {
	p := given
	if filepath.IsAbs(given) {
		absolute, err := filepath.Abs(root)
		if err != nil {
			return "", err
		}
		if p, err = filepath.Rel(absolute, given); err != nil {
			return "", fmt.Errorf("%s: outside of the workspace", given)
		}
	}
	p = path.Clean(filepath.ToSlash(p))
	if !fs.ValidPath(p) {
		return "", fmt.Errorf("%s: outside of the workspace", given)
	}
	return p, nil
}

// PathError is paths that lead to nothing that may be read, unlike files whose
// content is wrong.
type PathError struct{ Err error }

func (e *PathError) Error() string { return e.Err.Error() }
func (e *PathError) Unwrap() error { return e.Err }

// lead is what a path stands for: a folder, or files.
type lead struct {
	folder string
	files  []string
}

func (l *loader) find(root, given string) (lead, error) {
	p, err := within(root, given)
	if err != nil {
		return lead{}, err
	}
	info, err := l.root.Stat(p)
	switch {
	case err == nil && info.IsDir():
		return lead{folder: p}, nil
	case err == nil:
		return lead{files: []string{p}}, nil
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(p, "*?["):
		matched, err := l.glob(p)
		return lead{files: matched}, err
	}
	return lead{}, outside(p, err)
}

func (l *loader) load(found lead) error {
	if found.folder != "" {
		return l.folder(found.folder)
	}
	for _, p := range found.files {
		if err := l.file(p); err != nil {
			return err
		}
	}
	return nil
}

// outside words what os.Root says of a link that leaves it.
func outside(p string, err error) error {
	if strings.Contains(err.Error(), "escapes from parent") {
		return fmt.Errorf("%s: a symbolic link leads out of the workspace", p)
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return fmt.Errorf("%s: %w", p, err)
}

func (l *loader) folder(dir string) error {
	return fs.WalkDir(l.tree, dir, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return outside(p, err)
		}
		if entry.IsDir() {
			if p != dir && strings.HasPrefix(entry.Name(), ".") {
				return fs.SkipDir
			}
			if _, ok := l.kustomization(p); ok {
				if err := l.kustomize(p); err != nil {
					return err
				}
				return fs.SkipDir
			}
			return nil
		}
		if !manifest(p) {
			return nil
		}
		if info, err := l.root.Stat(p); err != nil {
			return outside(p, err)
		} else if info.IsDir() {
			return fmt.Errorf("%s: a symbolic link to a folder is not followed: name the folder itself", p)
		}
		return l.file(p)
	})
}

func manifest(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// glob takes the manifests that a pattern matches, in the order of their paths.
func (l *loader) glob(pattern string) ([]string, error) {
	parts := strings.Split(pattern, "/")
	for _, part := range parts {
		if _, err := path.Match(part, ""); err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
	}
	fixed := 0
	for fixed < len(parts)-1 && !strings.ContainsAny(parts[fixed], "*?[") {
		fixed++
	}
	from := path.Join(append([]string{"."}, parts[:fixed]...)...)
	var matched []string
	err := fs.WalkDir(l.tree, from, func(p string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return outside(p, err)
		case entry.IsDir() && p != from && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case !entry.IsDir() && manifest(p) && matches(parts, strings.Split(p, "/")):
			matched = append(matched, p)
		}
		return nil
	})
	if err == nil && len(matched) == 0 {
		err = fmt.Errorf("%s: no file matches", pattern)
	}
	return matched, err
}

func matches(pattern, parts []string) bool {
	switch {
	case len(pattern) == 0:
		return len(parts) == 0
	case pattern[0] == "**":
		return matches(pattern[1:], parts) || (len(parts) > 0 && matches(pattern, parts[1:]))
	case len(parts) == 0:
		return false
	}
	ok, _ := path.Match(pattern[0], parts[0])
	return ok && matches(pattern[1:], parts[1:])
}

func (l *loader) file(p string) error {
	if slices.Contains(kustomizationNames, path.Base(p)) {
		return l.kustomize(path.Dir(p))
	}
	if fresh, err := l.begin(p); !fresh {
		return err
	}
	content, err := read(l.root, p)
	if err != nil {
		return err
	}
	objs, err := Decode(p, content)
	if err != nil {
		return err
	}
	return l.add(objs)
}

// begin says whether p is still to be read.
func (l *loader) begin(p string) (bool, error) {
	if err := l.ctx.Err(); err != nil {
		return false, err
	}
	if l.done[p] {
		return false, nil
	}
	if len(l.done) >= maxFiles {
		return false, fmt.Errorf("%s: more than %d files", p, maxFiles)
	}
	l.done[p] = true
	return true, nil
}

func (l *loader) add(objs []Object) error {
	l.objs = append(l.objs, objs...)
	if len(l.objs) > maxObjects {
		return fmt.Errorf("more than %d objects", maxObjects)
	}
	return nil
}

func read(root *os.Root, p string) ([]byte, error) {
	f, err := root.Open(p)
	if err != nil {
		return nil, outside(p, err)
	}
	defer f.Close()
	// A named pipe or a device would be read for ever.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", p)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, outside(p, err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d MiB", p, maxFile>>20)
	}
	return content, nil
}

// unique refuses two objects of one name: the later would undo the earlier.
func unique(objs []Object) error {
	first := map[string]Object{}
	for _, o := range objs {
		key := release.Object{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}.Key()
		if other, ok := first[key]; ok {
			return fmt.Errorf("%s: %s is already defined at %s", o.Place(), o.title(), other.Place())
		}
		first[key] = o
	}
	return nil
}
