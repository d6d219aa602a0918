package e2e

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/release"
)

// A release that failed and was kept is what is live: one after it that is
// taken back before it touched anything takes nothing of it along.
func TestDeploy_leavesAKeptReleaseWhole(t *testing.T) {
	p := newPlace(t)
	p.file("web.yaml", manifest)
	p.file("fails.yaml", job("migrate", "", "work, 100ms, '6'"))
	p.deploy(p.image("1"), map[string]string{"manifests": "web.yaml"})
	p.file("web.yaml", strings.ReplaceAll(manifest, `"hello"`, `"good evening"`)+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n")
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("2"), "manifests": "web.yaml", "smoke-tests": "GET /status?code=404 => 200", "on-failure": "keep"})
	outputs(t, o, map[string]string{"status": "failed", "release": "2"})

	p.file("web.yaml", manifest)
	o = p.run(1, "deploy-staging", map[string]string{"image": p.image("3"), "manifests": "web.yaml", "before": "fails.yaml"})
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "3"})
	live, _ := p.history("staging", p.staging).Live()
	if live.Revision != 2 || live.Status != release.Failed {
		t.Fatalf("release %d (%s) is live, want the kept one, 2", live.Revision, live.Status)
	}
	for _, object := range live.Objects {
		if u, err := p.Client.Get(t.Context(), object); err != nil || u == nil {
			t.Errorf("%s of the kept release is gone (%v)", object, err)
		}
	}
	if images := p.images(p.staging); len(images) != 1 || images[0] != p.image("2") {
		t.Errorf("pods run %v, want the kept release alone", images)
	}
}
