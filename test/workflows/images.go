package workflows

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// golang is the Dockerfile's base. No registry can be reached where workflows
// are tested, so a stand-in is made of what is on this machine: this
// toolchain, busybox for a shell, and caches that hold our dependencies.
const golang = "golang:1.26"

// compiled is the stage of our Dockerfile in which the programs are compiled.
// It has a name so that its layers stay when those that nobody needs are
// removed: the actions' images are built from them.
const compiled = "fibership-compile"

// applets are what the Dockerfile and actions' scripts call.
var applets = []string{"sh", "cat", "chmod", "chown", "cp", "date", "env", "ls", "ln", "mkdir", "mv", "printf", "rm", "test", "touch"}

// images makes the base image, and the image that all four actions share.
func (e *Engine) images(ctx context.Context, r *Rig, context string) error {
	if err := e.base(ctx, r); err != nil {
		return err
	}
	return e.docker(ctx, nil, nil, "build", "--pull=false", "--target=compile", "--tag="+compiled, context)
}

// prune removes what no name leads to any more: images of an earlier state of
// the repository, and what a killed run left.
func (e *Engine) prune(ctx context.Context) error {
	if err := e.docker(ctx, nil, nil, "container", "prune", "--force"); err != nil {
		return err
	}
	return e.docker(ctx, nil, nil, "image", "prune", "--force")
}

// base imports the stand-in, unless this data root has it.
func (e *Engine) base(ctx context.Context, r *Rig) error {
	const repository = "fibership-golang"
	tagged := repository + ":" + r.key
	if e.docker(ctx, nil, nil, "image", "inspect", tagged) == nil {
		return e.docker(ctx, nil, nil, "tag", tagged, golang)
	}
	var others strings.Builder
	if err := e.docker(ctx, nil, &others, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository); err != nil {
		return err
	}
	for _, other := range strings.Fields(others.String()) {
		if err := e.docker(ctx, nil, nil, "image", "rm", other); err != nil {
			return err
		}
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(r.standIn(ctx, writer)) }()
	err := e.docker(ctx, reader, nil, "import",
		"--change", "ENV PATH=/go/bin:/usr/local/go/bin:/bin:/usr/bin",
		"--change", "ENV GOPATH=/go", "--change", "ENV GOTOOLCHAIN=local",
		"--change", "ENV GOPROXY=off", "--change", "ENV GOFLAGS=-buildvcs=false",
		"--change", "WORKDIR /go", "--change", `CMD ["sh"]`, "-", tagged)
	if err := errors.Join(err, reader.CloseWithError(errors.New("import ended"))); err != nil {
		return err
	}
	return e.docker(ctx, nil, nil, "tag", tagged, golang)
}

// standIn writes the stand-in's files.
func (r *Rig) standIn(ctx context.Context, w io.Writer) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	goroot := strings.TrimSpace(string(out))
	archive := tar.NewWriter(w)
	for _, dir := range []string{"tmp", "var/tmp"} {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o1777}); err != nil {
			return err
		}
	}
	for _, applet := range applets {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox", Mode: 0o777}); err != nil {
			return err
		}
	}
	if err := addText(archive, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"); err != nil {
		return err
	}
	for _, part := range []struct{ from, to string }{
		{program("busybox"), "bin/busybox"},
		{"/etc/ssl/certs/ca-certificates.crt", "etc/ssl/certs/ca-certificates.crt"},
		{goroot, "usr/local/go"},
		{r.modules(), "go/pkg/mod"},
		{r.builds(), "root/.cache/go-build"},
	} {
		if err := addTree(archive, part.from, part.to, filepath.Join(goroot, "test"), filepath.Join(goroot, "doc"), filepath.Join(goroot, "api")); err != nil {
			return err
		}
	}
	return archive.Close()
}

func addText(archive *tar.Writer, name, text string) error {
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := io.WriteString(archive, text)
	return err
}

// addTree adds a file or folder of this machine under another name, as root's.
func addTree(archive *tar.Writer, from, to string, without ...string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, skip := range without {
			if path == skip {
				return filepath.SkipDir
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		header.Name, header.Uid, header.Gid, header.Uname, header.Gname = to+strings.TrimPrefix(path, from), 0, 0, "root", "root"
		if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(archive, file)
		return err
	})
}
