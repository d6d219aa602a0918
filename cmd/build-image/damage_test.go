package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spoil changes files below dir that match: what holds bytes gets others.
func spoil(t *testing.T, dir string, matches func(path string) bool, with func([]byte) []byte) {
	t.Helper()
	spoiled := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !matches(filepath.ToSlash(path)) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(content) == 0 {
			return nil
		}
		spoiled++
		return os.WriteFile(path, with(content), 0o644)
	})
	if err != nil || spoiled == 0 {
		t.Fatalf("%d files were spoiled, %v", spoiled, err)
	}
}

// A damaged cache is a miss: the image is the one that an empty cache gives.
func TestBuild_takesADamagedCacheForNone(t *testing.T) {
	code, environ := dependent(t, proxy(t, "module example.com/dep\n\ngo 1.24\n", "package dep\n\nfunc Name() string { return \"dep\" }\n"))
	workspace := code.write(t)
	cache := filepath.Join(workspace, ".fibership-cache")
	// As in the action's container.
	environ = append(environ, "HOME=/github/home", "GOCACHE=", "GOMODCACHE=", "GOPATH="+t.TempDir())
	in := inputs{"image": "127.0.0.1:1/acme/orders", "push": "false", "tests": "none"}
	first := act(t, workspace, in, environ...)
	first.built(t, true)

	ends := func(suffix string) func(string) bool {
		return func(path string) bool { return strings.HasSuffix(path, suffix) }
	}
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		for i := len(b) / 2; i < len(b); i += 512 {
			b[i] ^= 0xff
		}
		return b
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T)
	}{
		{"a module's source", func(t *testing.T) {
			t.Helper()
			spoil(t, cache, ends("dep@v1.0.0/dep.go"), func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"dep"`), []byte(`"bad"`)) })
		}},
		{"a module's source that is missing", func(t *testing.T) {
			t.Helper()
			if err := os.Remove(filepath.Join(cache, "modules", "example.com", "dep@v1.0.0", "dep.go")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a module's archive", func(t *testing.T) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(cache, "modules", "example.com")); err != nil {
				t.Fatal(err)
			}
			spoil(t, cache, ends("v1.0.0.zip"), flip)
		}},
		{"a module's checksum", func(t *testing.T) { t.Helper(); spoil(t, cache, ends(".ziphash"), flip) }},
		{"a module's description", func(t *testing.T) {
			t.Helper()
			spoil(t, cache, ends("v1.0.0.mod"), func(b []byte) []byte { return append(b, "\n// more\n"...) })
		}},
		{"what was compiled", func(t *testing.T) { t.Helper(); spoil(t, cache, ends("-d"), flip) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.damage(t)
			got := act(t, workspace, in, environ...)
			got.wants(t, 0)
			if got.outputs["digest"] != first.outputs["digest"] {
				t.Errorf("another image: %s, was %s\n%s", got.outputs["digest"], first.outputs["digest"], got.log)
			}
		})
	}
	t.Run("one that is whole is kept", func(t *testing.T) {
		got := act(t, workspace, in, append(environ, "GOPROXY=off")...)
		got.wants(t, 0)
		if strings.Contains(got.log, "damaged") {
			t.Error(got.log)
		}
	})
}
