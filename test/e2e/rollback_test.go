package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/loadgen"
)

func TestRollback_restoresTheWholeReleaseUnderLoad(t *testing.T) {
	p := newPlace(t)
	p.file("web.yaml", manifest)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	rolling := map[string]string{"strategy": "rolling", "manifests": "web.yaml"}
	p.run(0, "promote", with(rolling, "watch", "0s"))
	p.file("web.yaml", strings.ReplaceAll(manifest, `"hello"`, `"good evening"`)+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\n")
	p.deploy(two, nil)
	p.run(0, "promote", rolling)

	o := p.run(0, "rollback", map[string]string{"dry-run": "true"})
	outputs(t, o, map[string]string{"status": "planned", "restored-release": "1"})
	contains(t, o.Summary, "remove", "extra", "update", "Deployment web")

	load := loadgen.Start(p.url(p.production), 50, true)
	o = p.run(0, "rollback", map[string]string{"reason": "the evening was not good"})
	counts := load.Stop()
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3", "restored-release": "1", "image": one, "previous-release": "2"})
	if counts.Failed > 0 || counts.Sent == 0 {
		t.Errorf("requests: %v", counts)
	}
	if images := p.images(p.production); len(images) != 1 || images[0] != one {
		t.Errorf("pods run %v, want %s alone", images, one)
	}
	p.answers(p.production, "hello") // release 1's configuration
	if _, err := p.Client.Kube.CoreV1().ConfigMaps(p.production).Get(t.Context(), "extra", metav1.GetOptions{}); err == nil {
		t.Error("what only release 2 brought is still there")
	}

	o = p.run(0, "rollback", map[string]string{"list": "true"})
	h := decode[release.History](t, o.Outputs["history"])
	if len(h) != 3 || h[0].Reason != "the evening was not good" || h[0].Restored != 1 {
		t.Errorf("history = %+v", h)
	}
	contains(t, o.Log, "succeeded, live")
}

// Whoever asks for the release before once more, because the run that was to
// restore it died, gets it.
func TestRollback_killedIsMadeByTheNext(t *testing.T) {
	for _, word := range []string{
		"release 3 of web:", // begun, and nothing was touched
		"updated Deployment web",
	} {
		t.Run(word, func(t *testing.T) {
			p := newPlace(t)
			p.file("web.yaml", manifest)
			one, two := p.image("1"), p.image("2")
			rolling := map[string]string{"strategy": "rolling", "manifests": "web.yaml", "watch": "0s"}
			for _, image := range []string{one, two} {
				p.deploy(image, nil)
				p.run(0, "promote", rolling)
			}
			p.killAt(word, "rollback", nil)
			o := p.run(0, "rollback", nil)
			outputs(t, o, map[string]string{"status": "succeeded", "release": "4", "restored-release": "1", "image": one})
			p.settled(one)
		})
	}
}

func TestRollback_findsByNumberDigestAndCommit(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.deploy(two, nil)
	staging := map[string]string{"environment": "staging", "namespace": p.staging}
	for to, restored := range map[string]string{"1": "1", one[strings.Index(one, "sha256:"):]: "1", "abababa": "2"} {
		o := p.run(0, "rollback", with(with(staging, "to", to), "dry-run", "true"))
		if restored == "1" {
			outputs(t, o, map[string]string{"restored-release": restored, "status": "planned"})
		}
	}
	for to, say := range map[string]string{"7": "no release 7", "sha256:" + strings.Repeat("0", 64): "no release sha256"} {
		o := p.run(1, "rollback", with(staging, "to", to))
		contains(t, strings.Join(o.Errors(), "\n"), say)
		outputs(t, o, map[string]string{"status": "refused"})
	}
	contains(t, strings.Join(p.run(2, "rollback", with(staging, "to", "someday")).Errors(), "\n"), "expected previous")
}

func TestRollback_withoutAReleaseIsRefused(t *testing.T) {
	p := newPlace(t)
	o := p.run(1, "rollback", nil)
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "no release has succeeded yet")
}

// Nothing is touched for a release that could not be restored whole.
func TestRollback_isRefusedWhereSomethingOfTheReleaseIsGone(t *testing.T) {
	p := newPlace(t)
	one, two := testcluster.PushVersion(t, "e2e/"+p.staging, "1"), p.image("2") // in a repository of its own: it is to be deleted
	for _, image := range []string{one, two} {
		p.deploy(image, nil)
		p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	}
	refused := func(says string) {
		t.Helper()
		o := p.run(1, "rollback", nil)
		outputs(t, o, map[string]string{"status": "refused"})
		contains(t, o.Log, says)
		p.settled(two)
		if h := p.history("production", p.production); len(h) != 2 {
			t.Errorf("%d releases, want the two", len(h))
		}
	}

	ref, err := name.NewDigest(one, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(ref, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	refused("image " + one + " is not in its registry")

	if again := testcluster.PushVersion(t, "e2e/"+p.staging, "1"); again != one {
		t.Fatalf("pushed %s, want %s", again, one)
	}
	secrets := p.Client.Kube.CoreV1().Secrets(p.production)
	parts := metav1.ListOptions{LabelSelector: "fibership.dev/revision=1,fibership.dev/part=objects"}
	if list, err := secrets.List(t.Context(), parts); err != nil || len(list.Items) == 0 {
		t.Fatalf("%d Secrets hold the objects, %v", len(list.Items), err)
	}
	if err := secrets.DeleteCollection(t.Context(), metav1.DeleteOptions{}, parts); err != nil {
		t.Fatal(err)
	}
	refused("read release 1")
}
