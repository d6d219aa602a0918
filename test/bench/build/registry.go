package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registry counts what it is asked and sent.
type registry struct {
	host            string
	close           func()
	requests, bytes atomic.Int64
}

// newRegistry starts one that holds nothing but a base image, /base:v1.
func newRegistry() (*registry, error) {
	r := new(registry)
	handler := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.requests.Add(1)
		q.Body = &counted{q.Body, &r.bytes}
		handler.ServeHTTP(w, q)
	}))
	r.host, r.close = strings.TrimPrefix(server.URL, "http://"), server.Close
	base, err := baseImage()
	if err != nil {
		return nil, err
	}
	tag, err := name.NewTag(r.host + "/base:v1")
	if err != nil {
		return nil, err
	}
	return r, remote.Write(tag, base)
}

// baseImage is about as large as a static distroless one.
func baseImage() (v1.Image, error) {
	layer, err := random.Layer(700_000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = "linux", "amd64"
	return mutate.ConfigFile(img, config)
}

// reset gives the counts since the last call.
func (r *registry) reset() (requests, bytes int64) { return r.requests.Swap(0), r.bytes.Swap(0) }

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
