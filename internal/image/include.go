package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Inclusion is a file or folder of the repository that goes into the image.
type Inclusion struct {
	Source string // slash-separated, from the folder that it is resolved in
	Target string // absolute; a folder's content goes there, a file becomes it
}

// ParseInclusion reads source:target.
func ParseInclusion(text string) (Inclusion, error) {
	source, target, ok := strings.Cut(text, ":")
	source, target = strings.TrimSpace(source), strings.TrimSpace(target)
	if !ok || source == "" || !path.IsAbs(target) || path.Clean(target) == "/" {
		return Inclusion{}, errors.New("a source in the repository and an absolute target in the image, as source:target")
	}
	if path.IsAbs(source) {
		return Inclusion{}, errors.New("a source relative to working-directory")
	}
	into := strings.HasSuffix(target, "/")
	target = path.Clean(target)
	if into {
		target += "/"
	}
	return Inclusion{Source: path.Clean(filepath.ToSlash(source)), Target: target}, nil
}

// Secret says whether a slash-separated path is one at which tools leave
// credentials in a checkout, and which must never be shipped. Letters' case
// counts for nothing. With a slash at its end the path is a folder's: what has
// to do with kubeconfigs may well be a package, and is told file by file.
func Secret(name string) bool {
	parts := strings.Split(strings.ToLower(name), "/")
	code := parts[len(parts)-1] == "" || strings.HasSuffix(name, ".go")
	return slices.ContainsFunc(parts, func(part string) bool {
		switch part {
		case ".git", ".kube", ".docker", ".netrc", "_netrc", ".git-credentials", ".kubeconfig":
			return true
		}
		// Source: google-github-actions/auth writes its credentials there.
		return strings.HasPrefix(part, "gha-creds-") && strings.HasSuffix(part, ".json") ||
			!code && kubeconfig.MatchString(part)
	})
}

// kubeconfig is the word, with others around it: prod-kubeconfig.yaml,
// kubeconfig_eu, kubeconfig.prod.
var kubeconfig = regexp.MustCompile(`(^|[^a-z0-9])kube-?config($|[^a-z0-9])`)

// unshipped says whether a name of the workspace is left out of folders that
// are included: what holds secrets, and Go's caches, which are no part of the
// repository.
func unshipped(name string, folder bool) bool {
	if folder {
		return Secret(name+"/") || name == cacheDir
	}
	return Secret(name)
}

// cacheDir is where Go's caches lie in a workspace.
const cacheDir = ".fibership-cache"

// Gather lists what an inclusion puts into the image. Its source is resolved
// in dir, a folder below workspace, and must not lead out of workspace, by no
// link either. Secrets and caches are left out and told to skipped.
func Gather(workspace, dir string, in Inclusion, skipped func(path string)) ([]Entry, error) {
	source, err := filepath.Rel(workspace, filepath.Join(dir, filepath.FromSlash(in.Source)))
	if err != nil || !filepath.IsLocal(source) {
		return nil, fmt.Errorf("include %s: it lies outside of the repository", in.Source)
	}
	root, err := os.OpenRoot(workspace) // from here on the system refuses what leads out
	if err != nil {
		return nil, fmt.Errorf("include %s: %w", in.Source, err)
	}
	defer root.Close()
	source = filepath.ToSlash(source)
	info, err := root.Stat(source)
	if err != nil {
		return nil, fmt.Errorf("include %s: %w", in.Source, err)
	}
	if Secret(source) {
		return nil, fmt.Errorf("include %s: it holds secrets and is never shipped", in.Source)
	}
	if !info.IsDir() {
		target := in.Target
		if strings.HasSuffix(target, "/") {
			target += path.Base(source)
		}
		entry, err := fileEntry(workspace, source, target, info)
		if err != nil {
			return nil, fmt.Errorf("include %s: %w", in.Source, err)
		}
		return []Entry{entry}, nil
	}
	var entries []Entry
	err = fs.WalkDir(root.FS(), source, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != source && unshipped(name, d.IsDir()) {
			skipped(name)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		entry, err := treeEntry(root, workspace, source, name, in.Target, d)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		entries = append(entries, entry)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("include %s: %w", in.Source, err)
	}
	return entries, nil
}

// treeEntry makes the entry of one name below an included folder.
func treeEntry(root *os.Root, workspace, source, name, target string, d fs.DirEntry) (Entry, error) {
	below := name
	if source != "." {
		below = strings.TrimPrefix(name, source)
	}
	target = path.Join(target, below)
	switch {
	case d.IsDir():
		return Entry{Path: target, Mode: fs.ModeDir | 0o755}, nil
	case d.Type()&fs.ModeSymlink != 0:
		link, err := root.Readlink(name)
		if err != nil {
			return Entry{}, err
		}
		to := path.Join(path.Dir(name), filepath.ToSlash(link))
		if path.IsAbs(link) || (source != "." && to != source && !strings.HasPrefix(to, source+"/")) || !filepath.IsLocal(to) {
			return Entry{}, fmt.Errorf("the link to %s leads out of the included folder", link)
		}
		return Entry{Path: target, Mode: fs.ModeSymlink | 0o777, Link: filepath.ToSlash(link)}, nil
	case !d.Type().IsRegular():
		return Entry{}, errors.New("neither file, folder nor link")
	}
	info, err := root.Lstat(name)
	if err != nil {
		return Entry{}, err
	}
	return fileEntry(workspace, name, target, info)
}

// fileEntry keeps of the mode what git keeps: whether it can be executed.
func fileEntry(workspace, name, target string, info fs.FileInfo) (Entry, error) {
	if !info.Mode().IsRegular() {
		return Entry{}, errors.New("not a regular file")
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return Entry{Path: target, Mode: mode, Size: info.Size(), Open: func() (io.ReadCloser, error) {
		return os.OpenInRoot(workspace, name)
	}}, nil
}

// Binary is the entry of the compiled program.
func Binary(file, target string) (Entry, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Path: target, Mode: 0o755, Size: info.Size(), Open: func() (io.ReadCloser, error) {
		return os.Open(filepath.Clean(file))
	}}, nil
}

// HashFile gives the SHA-256 of a file, in hex.
func HashFile(file string) (string, error) {
	content, err := os.Open(filepath.Clean(file))
	if err != nil {
		return "", err
	}
	defer content.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// HashEntries writes to w what would tell two layers of entries apart: paths,
// modes, links and content.
func HashEntries(w io.Writer, entries []Entry) error {
	for _, e := range entries {
		fmt.Fprintf(w, "%q %o %q %d\n", e.Path, e.Mode, e.Link, e.Size)
		if e.Open == nil {
			continue
		}
		content, err := e.Open()
		if err != nil {
			return err
		}
		_, err = io.Copy(w, content)
		if err = errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}
