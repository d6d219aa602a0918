package image

import (
	"archive/zip"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Nonroot is the user of the built-in root file system, as uid:gid.
const Nonroot = "65532:65532"

// Root gives the built-in root file system: CA certificates, time zones, /tmp,
// and the users root and nonroot. The certificates are Mozilla's, as pinned in
// our go.mod; the zones are those of the toolchain in goRoot, the very ones
// that the program was compiled with.
func Root(goRoot string) ([]Entry, error) {
	roots := new(bytes.Buffer)
	for root := range bundle.Roots() {
		// A constrained root holds only under rules that no file can carry.
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	entries := []Entry{
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "/root", Mode: fs.ModeDir | 0o700},
		{Path: "/home/nonroot", Mode: fs.ModeDir | 0o755},
		text("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"),
		text("/etc/group", "root:x:0:\nnonroot:x:65532:\n"),
		text("/etc/nsswitch.conf", "hosts: files dns\n"),
		text("/etc/ssl/certs/ca-certificates.crt", roots.String()),
	}
	zones, err := zones(filepath.Join(goRoot, "lib", "time", "zoneinfo.zip"))
	if err != nil {
		return nil, fmt.Errorf("read the toolchain's time zones: %w", err)
	}
	return append(entries, zones...), nil
}

func text(path, content string) Entry {
	return Entry{
		Path: path, Mode: 0o644, Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

// zones unpacks the zone files, each a few hundred bytes.
func zones(file string) ([]Entry, error) {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	var entries []Entry
	for _, f := range archive.File {
		if f.FileInfo().IsDir() {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(content, 1<<20))
		_ = content.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		entries = append(entries, text("/usr/share/zoneinfo/"+f.Name, string(data)))
	}
	return entries, nil
}
