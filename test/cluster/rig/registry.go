//go:build linux

package rig

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// serveRegistry serves an empty registry on RegistryAddress for as long as the process lives, and pushes the pause
// image into it. Images are kept in memory.
func serveRegistry(ctx context.Context, requests io.Writer) error {
	listener, err := net.Listen("tcp", RegistryAddress)
	if err != nil {
		return fmt.Errorf("start the registry: %w", err)
	}
	server := &http.Server{
		Handler:           registry.New(registry.Logger(log.New(requests, "", log.LstdFlags)), registry.WithReferrersSupport(true)),
		ReadHeaderTimeout: 30 * time.Second,
	}
	go func() { log.Print("registry: ", server.Serve(listener)) }()
	return pushPause(ctx)
}

func pushPause(ctx context.Context) error {
	image, err := pauseContent(filepath.Join(programsDir, "pause"))
	if err != nil {
		return fmt.Errorf("assemble the pause image: %w", err)
	}
	tag, err := name.NewTag(pauseImage)
	if err != nil {
		return err
	}
	if err := remote.Write(tag, image, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("push the pause image: %w", err)
	}
	return nil
}

// pauseContent is an image that holds the program and nothing else.
func pauseContent(program string) (v1.Image, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	if err := writer.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = []string{"/pause"}
	return mutate.ConfigFile(image, config)
}
