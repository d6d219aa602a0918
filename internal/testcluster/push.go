package testcluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Push puts the test service (testdata/web) into the test registry under a
// repository name, and gives repository@sha256:…. What the service does is
// said by the environment of its container: see testdata/web/main.go.
func Push(t testing.TB, name string) string {
	t.Helper()
	return push(t, name, nil)
}

// PushVersion is Push of an image of its own for each version: the digests
// differ, and VERSION is set in it.
func PushVersion(t testing.TB, name, version string) string {
	t.Helper()
	return push(t, name, []string{"VERSION=" + version})
}

func push(t testing.TB, name string, env []string) string {
	t.Helper()
	Need(t)
	ref, err := publish(t.Context(), registry(t), name, env)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// Publish is PushVersion for programs that are no tests: to the registry at host.
func Publish(ctx context.Context, host, name, version string) (string, error) {
	return publish(ctx, host, name, []string{"VERSION=" + version})
}

func publish(ctx context.Context, host, name string, env []string) (string, error) {
	img, err := web()
	if err != nil {
		return "", err
	}
	return write(ctx, host, name, img, v1.Config{Entrypoint: []string{"/web"}, Env: env, User: "65532:65532"})
}

func write(ctx context.Context, host, name string, img v1.Image, config v1.Config) (string, error) {
	img, err := mutate.Config(img, config)
	if err != nil {
		return "", err
	}
	repository, err := ggcr.NewRepository(host+"/"+name, ggcr.Insecure)
	if err != nil {
		return "", err
	}
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	ref := repository.Digest(digest.String())
	return ref.String(), remote.Write(ref, img, remote.WithContext(ctx))
}

// web is the test service as an image of one layer, compiled once.
var web = sync.OnceValues(func() (v1.Image, error) {
	_, file, _, _ := runtime.Caller(0)
	dir, err := os.MkdirTemp("", "testcluster")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "web")
	// Shared by all tests of the process, so it outlives any one of them.
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, ".")
	build.Dir = filepath.Join(filepath.Dir(file), "testdata", "web")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the test service: %w\n%s", err, out)
	}
	return program(binary, "web")
})

// PushProgram puts a program of one static file into the test registry, at the
// path (without the first slash) that the image's PATH leads to.
func PushProgram(t testing.TB, name, file, path string) string {
	t.Helper()
	Need(t)
	img, err := program(file, path)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := write(t.Context(), registry(t), name, img, v1.Config{Env: []string{"PATH=/" + filepath.Dir(path)}})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// PushService is PushProgram of a program that is a service: its image's entry
// point, under a version of its own.
func PushService(t testing.TB, name, file, version string) string {
	t.Helper()
	Need(t)
	img, err := program(file, "service")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := write(t.Context(), registry(t), name, img, v1.Config{Entrypoint: []string{"/service"}, Env: []string{"VERSION=" + version}, User: "65532:65532"})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// program is an image of one layer with one file.
func program(file, path string) (v1.Image, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := archive.WriteHeader(&tar.Header{Name: path, Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(content); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	return platform(made)
}

func platform(layer v1.Layer) (v1.Image, error) {
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	return mutate.ConfigFile(img, config)
}
