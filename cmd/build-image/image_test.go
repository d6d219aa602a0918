package main

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestBuild_givesTheSameDigestInAnyFolderOnAnyDay(t *testing.T) {
	registry := newServer(t)
	in := inputs{
		"tests": "none", "push": "false", "platforms": "linux/amd64, linux/arm64", "include": "public:/app/public",
		"env": "A=1\nB=2", "labels": "x=1\ny=2", "annotations": "x=1\ny=2",
	}
	// A program that no cache has seen, compiled with two caches that share nothing.
	code := orders().with("greet/once.go", fmt.Sprintf("package greet\n\n// Once is new.\nconst Once = %q\n", rand.Text()))
	caches, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	first := act(t, code.write(t), in.and(inputs{"image": registry.host + "/acme/orders"}))
	second := act(
		t, code.write(t), in.and(inputs{"image": registry.host + "/other/name"}),
		"HOME="+t.TempDir(), "GOCACHE="+filepath.Join(caches, "fibership-test", "second"),
		"TZ=Asia/Tokyo", "USER=somebody", "GITHUB_SHA=fedcba9876543210fedcba9876543210fedcba98",
	)
	if first.code != 0 || second.code != 0 {
		t.Fatalf("%s\n%s", first.log, second.log)
	}
	for _, name := range []string{"digest", "platforms", "size"} {
		if first.outputs[name] == "" || first.outputs[name] != second.outputs[name] {
			t.Errorf("%s: %q and %q", name, first.outputs[name], second.outputs[name])
		}
	}
	registry.untouched(t)
}

// contents reads an image's files as one file system.
func contents(t *testing.T, img v1.Image) map[string]*tar.Header {
	t.Helper()
	found := map[string]*tar.Header{}
	walk(t, img, func(h *tar.Header, _ io.Reader) { found["/"+strings.TrimSuffix(h.Name, "/")] = h })
	return found
}

func walk(t *testing.T, img v1.Image, visit func(*tar.Header, io.Reader)) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for archive := tar.NewReader(content); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			visit(header, archive)
		}
		_ = content.Close()
	}
}

func TestBuild_writesALayoutThatHoldsTheImage(t *testing.T) {
	workspace := orders().write(t)
	got := act(t, workspace, inputs{
		"image": "127.0.0.1:1/acme/orders", "tests": "none", "push": "false", "oci-layout": "dist/image", "include": "./public:/app/public",
	})
	if got.code != 0 {
		t.Fatal(got.log)
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(workspace, "dist", "image"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != got.outputs["digest"] {
		t.Fatalf("layout: %v %v", manifest, err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	files := contents(t, img)
	for path, mode := range map[string]int64{
		"/tmp": 0o1777, "/app/orders": 0o755, "/app/public/index.html": 0o644, "/etc/ssl/certs/ca-certificates.crt": 0o644,
		"/usr/share/zoneinfo/Europe/Berlin": 0o644, "/etc/passwd": 0o644, "/home/nonroot": 0o755,
	} {
		header := files[path]
		if header == nil {
			t.Errorf("%s is not in the image", path)
			continue
		}
		if header.Mode != mode || header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("%s: mode %o of %d:%d at %s", path, header.Mode, header.Uid, header.Gid, header.ModTime)
		}
	}
	if _, ok := files["/app/public/gha-creds-1.json"]; ok {
		t.Error("credentials were put into the image")
	}
	walk(t, img, func(h *tar.Header, content io.Reader) {
		if h.Name != "app/orders" {
			return
		}
		program := filepath.Join(t.TempDir(), "orders")
		data, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(workspace)) {
			t.Error("the program names the folder it was built in")
		}
		if err := os.WriteFile(program, data, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil || string(out) != "hello orders\n" {
			t.Errorf("the program says %q, %v", out, err)
		}
	})
}

func TestBuild_makesAnIndexForSeveralPlatforms(t *testing.T) {
	registry := newServer(t)
	got := act(t, orders().write(t), inputs{
		"image": registry.host + "/acme/orders", "tests": "none", "platforms": "linux/amd64\nlinux/arm64", "tags": "v1",
	})
	if got.code != 0 {
		t.Fatal(got.log)
	}
	index := registry.index(t, got.outputs["image"])
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, m := range manifest.Manifests {
		platforms = append(platforms, m.Platform.String())
		if want := fmt.Sprintf("%q:%q", m.Platform, m.Digest); !strings.Contains(got.outputs["platforms"], want) {
			t.Errorf("output platforms %s lacks %s", got.outputs["platforms"], want)
		}
	}
	if fmt.Sprint(platforms) != "[linux/amd64 linux/arm64]" {
		t.Errorf("platforms: %v", platforms)
	}
}

func TestBuild_keepsTheBaseAndPinsIt(t *testing.T) {
	registry := newServer(t)
	base := act(t, orders().write(t), inputs{
		"image": registry.host + "/acme/base", "tests": "none", "tags": "v1", "env": "FROM=base\nKEPT=yes",
	})
	in := inputs{"image": registry.host + "/acme/orders", "tests": "none", "env": "FROM=orders"}
	byTag := act(t, orders().write(t), in.and(inputs{"base-image": registry.host + "/acme/base:v1"}))
	if base.code != 0 || byTag.code != 0 {
		t.Fatal(base.log, byTag.log)
	}
	byDigest := act(t, orders().write(t), in.and(inputs{"base-image": base.outputs["image"], "image": registry.host + "/acme/second"}))
	if byTag.outputs["digest"] != byDigest.outputs["digest"] {
		t.Error("the digest depends on how the base is named")
	}
	img := registry.image(t, byTag.outputs["image"])
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	below, err := registry.image(t, base.outputs["image"]).Layers()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, layer := range below {
		want, _ := layer.Digest()
		if got, _ := layers[i].Digest(); got != want {
			t.Errorf("layer %d is %s, of the base %s", i, got, want)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if env := strings.Join(config.Config.Env, " "); !strings.Contains(env, "KEPT=yes") || !strings.Contains(env, "FROM=orders") || strings.Contains(env, "FROM=base") {
		t.Errorf("env: %s", env)
	}
	if got := config.Config.Labels["org.opencontainers.image.base.digest"]; got != base.outputs["digest"] {
		t.Errorf("label base.digest: %q", got)
	}
}
