package gobuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sync/errgroup"
)

// Check begins to look for damage in the caches that Caches has put below the
// workspace, and takes out what is damaged, so that it is a miss. The go
// command itself looks at lengths only, and at checksums only of what it has
// just fetched. Compile and Test wait for it. It hashes every file of the
// caches, on all cores, while the package is read and the registry is asked.
func (t *Toolchain) Check(ctx context.Context) {
	done := make(chan struct{})
	t.checked = func(ctx context.Context) error {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	go func() {
		defer close(done)
		removed, err := sound(ctx, filepath.Join(t.source.Workspace, CacheDir))
		if removed > 0 {
			t.log.Linef("%d damaged entries were taken out of %s", removed, CacheDir)
		}
		if err != nil && ctx.Err() == nil {
			t.log.Linef("%s was not checked for damage: %v", CacheDir, err)
		}
	}()
}

// ready waits for what Check does.
func (t *Toolchain) ready(ctx context.Context) error {
	if t.checked == nil {
		return nil
	}
	return t.checked(ctx)
}

// Spoiled says that a build failed on what lies in the module cache and is not
// what go.sum says, such as a damaged description of a module, and that the
// cache is ours and has been emptied: it is to be done again.
func (t *Toolchain) Spoiled(err error) bool {
	var toolchain *ToolchainError
	if t.checked == nil || !errors.As(err, &toolchain) || !strings.Contains(toolchain.Text, "checksum mismatch") {
		return false
	}
	root, openErr := os.OpenRoot(filepath.Join(t.source.Workspace, CacheDir, "modules"))
	if openErr != nil {
		return false
	}
	defer root.Close()
	entries, readErr := fs.ReadDir(root.FS(), ".")
	for _, entry := range entries {
		readErr = errors.Join(readErr, root.RemoveAll(entry.Name()))
	}
	if readErr != nil {
		return false
	}
	t.log.Linef("a module is not what go.sum says: its cache is emptied, and all is done again")
	return true
}

// sound removes what is damaged below dir and counts it.
func sound(ctx context.Context, dir string) (removed int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	var damaged atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	check := func(whole func() bool, names ...string) {
		group.Go(func() error {
			if ctx.Err() != nil || whole() {
				return context.Cause(ctx)
			}
			damaged.Add(1)
			for _, name := range names {
				if err := root.RemoveAll(name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		top, _, _ := strings.Cut(name, "/")
		switch {
		case top == "modules" && entry.IsDir() && (strings.Count(name, "/") == 1 && name != "modules/cache" || name == "modules/cache/vcs"):
			return fs.SkipDir // modules are looked at from their checksums
		case top == "modules" && entry.Type().IsRegular() && strings.HasSuffix(name, ".ziphash"):
			m := cachedModule(name)
			check(func() bool { return m.whole(root) }, m.dir, m.zip, name)
		case top != "modules" && entry.Type().IsRegular():
			// What a build made lies under its hash, a program below it.
			for _, place := range []string{path.Base(name), path.Base(path.Dir(name))} {
				if id, ok := strings.CutSuffix(place, "-d"); ok && len(id) == 2*sha256.Size {
					check(func() bool { return hashes(root, name, id) }, name)
					break
				}
			}
		}
		return nil
	})
	return damaged.Load(), errors.Join(err, group.Wait())
}

// hashes says whether a file's SHA-256 is id, in hex.
func hashes(root *os.Root, name, id string) bool {
	file, err := root.Open(name)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == id
}

// inModules is a module in the cache, by the file with its checksum.
// Source: go.dev/ref/mod, module cache.
type inModules struct{ sum, zip, dir string }

func cachedModule(ziphash string) inModules {
	at := strings.TrimSuffix(ziphash, ".ziphash")
	escaped, version := path.Split(strings.TrimPrefix(at, "modules/cache/download/"))
	return inModules{ziphash, at + ".zip", "modules/" + strings.TrimSuffix(escaped, "/@v/") + "@" + version}
}

// whole compares the module's files with its checksum; where they are not
// unpacked, those in its archive.
func (m inModules) whole(root *os.Root) bool {
	want, err := root.ReadFile(m.sum)
	if err != nil {
		return false
	}
	got, err := m.hash(root)
	return err == nil && got == strings.TrimSpace(string(want))
}

func (m inModules) hash(root *os.Root) (string, error) {
	if _, err := root.Stat(m.dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := root.Stat(m.zip); err != nil {
			return "", err
		}
		return dirhash.HashZip(filepath.Join(root.Name(), filepath.FromSlash(m.zip)), dirhash.Hash1)
	}
	at := strings.LastIndex(m.dir, "@")
	name, err := module.UnescapePath(strings.TrimPrefix(m.dir[:at], "modules/"))
	if err != nil {
		return "", err
	}
	version, err := module.UnescapeVersion(m.dir[at+1:])
	if err != nil {
		return "", err
	}
	prefix := name + "@" + version
	var files []string
	err = fs.WalkDir(root.FS(), m.dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is no file", file)
		}
		files = append(files, prefix+strings.TrimPrefix(file, m.dir))
		return nil
	})
	if err != nil {
		return "", err
	}
	return dirhash.Hash1(files, func(file string) (io.ReadCloser, error) {
		return root.Open(m.dir + strings.TrimPrefix(file, prefix))
	})
}
