package gobuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// localModules adds to found the folders of the modules of this repository that
// have a say in which versions of others are taken: those given, those that
// the workspace file uses (empty: there is none), and those that replace
// another. A package of theirs need not be among those that are compiled: it
// is enough that their go.mod asks for a newer version.
func localModules(work string, dirs ...string) (found []string, err error) {
	if work != "" {
		content, err := os.ReadFile(filepath.Clean(work))
		if err != nil {
			return nil, err
		}
		file, err := modfile.ParseWork(work, content, nil)
		if err != nil {
			return nil, fmt.Errorf("read the workspace: %w", err)
		}
		base := filepath.Dir(work)
		for _, use := range file.Use {
			dirs = append(dirs, resolve(base, use.Path))
		}
		dirs = append(dirs, replacements(base, file.Replace)...)
	}
	seen := map[string]bool{}
	for ; len(dirs) > 0; dirs = dirs[1:] {
		dir := filepath.Clean(dirs[0])
		if seen[dir] {
			continue
		}
		seen[dir] = true
		found = append(found, dir)
		name := filepath.Join(dir, "go.mod")
		content, err := os.ReadFile(name) //nolint:gosec // the go command reads the same
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		file, err := modfile.Parse(name, content, nil)
		if err != nil {
			return nil, fmt.Errorf("read a module's description: %w", err)
		}
		dirs = append(dirs, replacements(dir, file.Replace)...)
	}
	return found, nil
}

// replacements are the folders that replace modules.
func replacements(base string, replace []*modfile.Replace) []string {
	var dirs []string
	for _, r := range replace {
		if r.New.Version == "" {
			dirs = append(dirs, resolve(base, r.New.Path))
		}
	}
	return dirs
}

func resolve(base, path string) string {
	if path = filepath.FromSlash(path); filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}
