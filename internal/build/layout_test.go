package build

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/image"
)

func TestLayout_leadsOutOfTheCheckoutByNoLink(t *testing.T) {
	img, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		link, leads string // leads empty: to a folder outside
		fails       bool
	}{
		"no link":                     {},
		"the folder":                  {link: "dist", fails: true},
		"a folder below":              {link: "dist/image/blobs", fails: true},
		"a file":                      {link: "dist/image/index.json", fails: true},
		"a link within the checkout":  {link: "dist", leads: "elsewhere"},
		"a link out by relative path": {link: "dist", leads: "../outside", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			workspace, outside := filepath.Join(above, "checkout"), filepath.Join(above, "outside")
			for _, dir := range []string{filepath.Join(workspace, "elsewhere"), outside} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if c.link != "" {
				link := filepath.Join(workspace, c.link)
				if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
					t.Fatal(err)
				}
				if c.leads == "" {
					c.leads = filepath.Join(outside, filepath.Base(link))
				}
				if err := os.Symlink(c.leads, link); err != nil {
					t.Fatal(err)
				}
			}
			b := &Build{Plan: Plan{
				Source: gobuild.Source{Workspace: workspace}, Scratch: t.TempDir(), Layout: filepath.Join(workspace, "dist", "image"),
			}}
			if err := b.layout(img); (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside there is %v, %v", entries, err)
			}
			if c.fails {
				return
			}
			written, err := layout.ImageIndexFromPath(b.Layout)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Index(written); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLayout_goesWhereItIsToldToOutsideOfTheCheckout(t *testing.T) {
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := &Build{Plan: Plan{Source: gobuild.Source{Workspace: t.TempDir()}, Scratch: t.TempDir(), Layout: filepath.Join(t.TempDir(), "a", "b")}}
	for range 2 { // the second over the first
		if err := b.layout(img); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := layout.ImageIndexFromPath(b.Layout); err != nil {
		t.Error(err)
	}
}

// Two packages that must not know of each other mean the same folder.
func TestGather_leavesOutTheCachesOfTheToolchain(t *testing.T) {
	workspace := t.TempDir()
	if err := os.Mkdir(filepath.Join(workspace, gobuild.CacheDir), 0o755); err != nil {
		t.Fatal(err)
	}
	left := ""
	_, err := image.Gather(workspace, workspace, image.Inclusion{Source: ".", Target: "/x"}, func(path string) { left = path })
	if err != nil || left != gobuild.CacheDir {
		t.Errorf("left out %q, %v", left, err)
	}
}
