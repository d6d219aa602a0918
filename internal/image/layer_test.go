package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func names(t *testing.T, layer Layer) []string {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var found []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%s %o", header.Name, header.Mode))
	}
}

func TestWrite_dependsOnContentAlone(t *testing.T) {
	a := []Entry{text("/etc/b", "b"), text("/etc/a", "a"), {Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}}
	b := []Entry{a[2], a[1], a[0]}
	first, err := Write(t.TempDir(), "files", a)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Write(t.TempDir(), "other words", b)
	if err != nil {
		t.Fatal(err)
	}
	if first.digest != second.digest || first.diffID != second.diffID {
		t.Error("the order of entries moves the digest")
	}
	if err := validate.Layer(first); err != nil {
		t.Error(err)
	}
	if got := strings.Join(names(t, first), ", "); got != "etc/ 755, etc/a 644, etc/b 644, tmp/ 1777" {
		t.Errorf("entries: %s", got)
	}
}

func TestWrite_refusesEntriesThatContradict(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"one path twice":      {text("/a", "1"), text("//a/", "2")},
		"a file as a folder":  {text("/a", "1"), text("/a/b", "2")},
		"a size that is none": {{Path: "/a", Mode: 0o644, Size: 3, Open: text("/a", "12345").Open}},
	} {
		if _, err := Write(t.TempDir(), name, entries); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

func FuzzWrite_staysBelowTheRoot(f *testing.F) {
	for _, path := range []string{"/app/x", "../../etc/passwd", "/a/../../b", "", "a//b/./c", "/\x00"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		layer, err := Write(t.TempDir(), "fuzz", []Entry{text(path, "x")})
		if err != nil {
			return
		}
		for _, name := range names(t, layer) {
			if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") || strings.Contains(name, "/../") {
				t.Errorf("%q became %q", path, name)
			}
		}
	})
}

func TestParseInclusion_takesSourceAndTarget(t *testing.T) {
	for in, want := range map[string]string{
		"./public:/app/public": "public /app/public", "public/:/app/public/": "public /app/public/", ".:/srv": ". /srv", "a : /b": "a /b",
		"public": "", ":/x": "", "a:": "", "a:relative": "", "a:/": "", "/etc:/x": "", "a:/..": "",
	} {
		got := ""
		if inclusion, err := ParseInclusion(in); err == nil {
			got = inclusion.Source + " " + inclusion.Target
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSecret_knowsWhatToolsLeaveInACheckout(t *testing.T) {
	for path, want := range map[string]bool{
		".git": true, "a/.git/config": true, "gha-creds-0a1b.json": true, "x/kubeconfig": true, "prod.kubeconfig": true, ".kube/config": true,
		"prod-kubeconfig.yaml": true, "kubeconfig_eu": true, "KUBECONFIG": true, "kubeconfig.prod": true, "deploy/prod_kubeconfig": true,
		"kubeconfig/prod.yaml": true, "kube-config.json": true, "internal/kubeconfig/": false, "internal/kubeconfig/load.go": false,
		".git/": true, "load_kubeconfig_test.go": false, "kubeconfigs.md": false, "a/.kube/load.go": true,
		"public/index.html": false, "config.json": false, ".github/x": false, "kube.go": false, "gha-creds.md": false,
	} {
		if got := Secret(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestIndex_isOrderedByPlatform(t *testing.T) {
	if _, err := Index(map[string]v1.Image{"no/such/platform/at/all": nil}, nil); err == nil {
		t.Error("a platform that is none was taken")
	}
}
