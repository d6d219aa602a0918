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
	"path/filepath"
)

// apart gives the toolchain that tests run with. Where they have a user of
// their own, they get a copy of the checkout too: there they may write beside
// their sources, as tests do, and neither the compiler nor the image sees it.
func (t *Toolchain) apart(ctx context.Context) (alone *Toolchain, release func(), err error) {
	if t.tests == nil {
		return t, func() {}, nil
	}
	alone = &Toolchain{source: t.source, environ: t.environ, user: t.tests, log: t.log}
	if t.user == nil || t.user.id == t.tests.id {
		return alone, func() {}, nil
	}
	dir, err := filepath.Rel(t.source.Workspace, t.source.Dir)
	if err != nil {
		return nil, nil, err
	}
	workspace, err := newCopy(t.source.Workspace)
	if err != nil {
		return nil, nil, err
	}
	release = func() { _ = os.RemoveAll(workspace) }
	if err := t.duplicate(ctx, workspace); err != nil {
		release()
		return nil, nil, fmt.Errorf("copy the checkout for its tests: %w", err)
	}
	alone.source.Workspace, alone.source.Dir = workspace, filepath.Join(workspace, dir)
	return alone, release, nil
}

// newCopy makes the folder for a copy of workspace: the same for each run where
// that is free, since what is compiled for tests is cached by its folder.
func newCopy(workspace string) (string, error) {
	name := sha256.Sum256([]byte(workspace))
	dir := filepath.Join(os.TempDir(), "fibership-tests-"+hex.EncodeToString(name[:4]))
	if err := os.Mkdir(dir, 0o700); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "fibership-tests-")
}

// duplicate copies what the tests of a checkout may read, and gives it to their
// user. Left out are our caches, what the source hides, what others may not
// read, since we who copy may read anything, and what is neither file nor
// folder nor link.
func (t *Toolchain) duplicate(ctx context.Context, to string) error {
	source, err := os.OpenRoot(t.source.Workspace)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer target.Close()
	return fs.WalkDir(source.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		link := entry.Type()&fs.ModeSymlink != 0
		name := path
		if entry.IsDir() {
			name += "/"
		}
		if path != "." && (cached(path) || t.source.hides(name) || !link && info.Mode().Perm()&0o4 == 0) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case entry.IsDir() && path == ".":
		case entry.IsDir():
			err = target.Mkdir(path, info.Mode().Perm()|0o700)
		case link:
			var leads string
			if leads, err = source.Readlink(path); err == nil {
				err = target.Symlink(leads, path)
			}
		case entry.Type().IsRegular():
			err = copyFile(source, target, path, info.Mode().Perm()|0o600)
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return target.Lchown(path, int(t.tests.id), int(t.tests.id))
	})
}

// copyFile leaves the bytes to the system, which shares them where it can.
func copyFile(source, target *os.Root, path string, mode fs.FileMode) error {
	in, err := source.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := target.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// fetch has the modules that a suite needs there before its tests' user, who
// may not write to the module cache and has no credentials, looks for them.
func (t *Toolchain) fetch(ctx context.Context, suite Suite) error {
	args := append([]string{"list", "-buildvcs=false", "-deps", "-test", "-f", "{{.ImportPath}}"}, t.tagFlags()...)
	_, err := t.output(ctx, nil, append(args, suite.Packages...)...)
	return err
}
