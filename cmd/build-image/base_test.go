package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// base pushes an image to build on, for two platforms, to a registry.
func (s *server) base(t *testing.T) (reference string) {
	t.Helper()
	got := act(t, orders().write(t), inputs{
		"image": s.host + "/acme/base", "tests": "none", "tags": "v1", "platforms": "linux/amd64,linux/arm64",
	})
	got.wants(t, 0)
	return s.host + "/acme/base:v1"
}

// The bytes of the base's layers are read only when they are pushed or written,
// long after the base was asked for.
func TestBuild_bringsTheBaseFromAnotherRegistry(t *testing.T) {
	from, to := newServer(t), newServer(t)
	in := inputs{"tests": "none", "base-image": from.base(t), "tags": "v1"}
	for name, platforms := range map[string]string{"one platform": "linux/amd64", "several": "linux/amd64,linux/arm64"} {
		t.Run(name, func(t *testing.T) {
			workspace := orders().write(t)
			got := act(t, workspace, in.and(inputs{
				"image": to.host + "/acme/" + strings.ReplaceAll(name, " ", "-"), "platforms": platforms, "oci-layout": "dist/image",
			}))
			got.wants(t, 0)
			written, err := layout.ImageIndexFromPath(filepath.Join(workspace, "dist", "image"))
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(written); err != nil {
				t.Errorf("the layout: %v", err)
			}
			if platforms == "linux/amd64" {
				err = validate.Image(to.image(t, got.outputs["image"]))
			} else {
				err = validate.Index(to.index(t, got.outputs["image"]))
			}
			if err != nil {
				t.Errorf("what was pushed: %v", err)
			}
		})
	}
}

func TestBuild_compilesWhileTheBasesRegistryIsInTrouble(t *testing.T) {
	from, to := newServer(t), newServer(t)
	base := from.base(t)
	from.wrap(down(6 * time.Second))
	in := inputs{"image": to.host + "/acme/orders", "tests": "none", "tags": "v1", "base-image": base}
	got := act(t, orders().write(t), in)
	got.wants(t, 0, "503 Service Unavailable; again in", "compiled for linux/amd64")
	if strings.Index(got.log, "compiling for") > strings.Index(got.log, "base image "+from.host) {
		t.Errorf("the compiler waited for the registry\n%s", got.log)
	}
	act(t, orders().write(t), in).built(t, false) // it was remembered all the same
}

func TestBuild_refusesABaseThatIsNotThere(t *testing.T) {
	from, to := newServer(t), newServer(t)
	in := inputs{"image": to.host + "/acme/orders", "tests": "none", "tags": "v1"}
	got := act(t, orders().write(t), in.and(inputs{"base-image": from.host + "/acme/nothing:v1"}))
	got.wants(t, 1, "base image: resolve "+from.host+"/acme/nothing:v1")
	got = act(t, orders().write(t), in.and(inputs{"base-image": from.base(t), "platforms": "linux/s390x"}))
	got.wants(t, 1, "base image for linux/s390x")
	to.untouched(t)
}
