package image

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// level is gzip's. Measured on stripped Go binaries: one step up costs half as
// much time again for less than two per cent.
const level = 6

// Layer is a compressed layer that lies in a file, so that memory does not
// grow with what is in it.
type Layer struct {
	file    string
	size    int64
	digest  v1.Hash // of the compressed bytes
	diffID  v1.Hash // of the tar
	comment string
}

// Entry is a file, folder or link in a layer.
type Entry struct {
	Path string      // absolute, in the image
	Mode fs.FileMode // type and permission bits; the sticky bit counts
	Link string      // target of a symbolic link
	Size int64       // of a file
	Open func() (io.ReadCloser, error)
}

// Write makes a layer of entries in the folder dir. It reads each entry once,
// and from one pass come the compressed bytes and both digests. Owner is root,
// times are zero, entries are sorted and their parent folders are added, so
// that only paths, modes and bytes count.
func Write(dir, comment string, entries []Entry) (Layer, error) {
	file, err := os.CreateTemp(dir, "layer-*.tar.gz")
	if err != nil {
		return Layer{}, fmt.Errorf("write layer: %w", err)
	}
	layer, err := write(file, entries)
	if err = errors.Join(err, file.Close()); err != nil {
		return Layer{}, fmt.Errorf("write layer of %s: %w", comment, err)
	}
	layer.file, layer.comment = file.Name(), comment
	return layer, nil
}

func write(file io.Writer, entries []Entry) (Layer, error) {
	entries, err := complete(entries)
	if err != nil {
		return Layer{}, err
	}
	compressed := &counter{hash: sha256.New(), w: file}
	buffered := bufio.NewWriterSize(compressed, 256<<10)
	zip, err := gzip.NewWriterLevel(buffered, level)
	if err != nil {
		return Layer{}, err
	}
	plain := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(plain, zip))
	for _, e := range entries {
		if err := e.write(archive); err != nil {
			return Layer{}, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	for _, end := range []func() error{archive.Close, zip.Close, buffered.Flush} {
		if err := end(); err != nil {
			return Layer{}, err
		}
	}
	return Layer{size: compressed.n, digest: sum(compressed.hash), diffID: sum(plain)}, nil
}

// complete adds parent folders, sorts, and refuses two entries of one path.
func complete(entries []Entry) ([]Entry, error) {
	byPath := map[string]Entry{}
	for _, e := range entries {
		e.Path = path.Clean("/" + e.Path)
		if old, ok := byPath[e.Path]; ok && (!old.Mode.IsDir() || !e.Mode.IsDir()) {
			return nil, fmt.Errorf("%s is put into the image twice", e.Path)
		}
		byPath[e.Path] = e
	}
	for _, e := range entries {
		for dir := path.Dir(path.Clean("/" + e.Path)); dir != "/"; dir = path.Dir(dir) {
			parent, ok := byPath[dir]
			if ok && !parent.Mode.IsDir() {
				return nil, fmt.Errorf("%s is put below %s, which is no folder", e.Path, dir)
			}
			if !ok {
				byPath[dir] = Entry{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	sorted := make([]Entry, 0, len(byPath))
	for _, e := range byPath {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return sorted, nil
}

func (e Entry) write(archive *tar.Writer) error {
	header := &tar.Header{Name: strings.TrimPrefix(e.Path, "/"), Mode: int64(e.Mode.Perm()), ModTime: epoch}
	if e.Mode&fs.ModeSticky != 0 {
		header.Mode |= 0o1000
	}
	switch {
	case e.Mode.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		return archive.WriteHeader(header)
	case e.Mode&fs.ModeSymlink != 0:
		header.Typeflag, header.Linkname = tar.TypeSymlink, e.Link
		return archive.WriteHeader(header)
	}
	header.Typeflag, header.Size = tar.TypeReg, e.Size
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	content, err := e.Open()
	if err != nil {
		return err
	}
	_, err = io.Copy(archive, content) // a file that changed its size meanwhile is an error of the archive
	return errors.Join(err, content.Close())
}

// counter hashes and counts what goes through it.
type counter struct {
	hash hash.Hash
	w    io.Writer
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// Comment tells people what is in the layer.
func (l Layer) Comment() string { return l.comment }

// Digest is that of the compressed bytes.
func (l Layer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID is the digest of the tar.
func (l Layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

// Size is that of the compressed bytes.
func (l Layer) Size() (int64, error) { return l.size, nil }

// MediaType is OCI's for a gzipped tar.
func (l Layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

// Compressed opens the layer's bytes; each call from their beginning.
func (l Layer) Compressed() (io.ReadCloser, error) { return os.Open(l.file) }

// Uncompressed opens the tar.
func (l Layer) Uncompressed() (io.ReadCloser, error) {
	file, err := os.Open(l.file)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{zip, file}, nil
}

// Bytes is the compressed size.
func (l Layer) Bytes() int64 { return l.size }
