package e2e

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/kill"
)

// anew is the manifest with a selector that cannot be changed in place, and
// with the word that it may be made anew.
var anew = strings.Replace(
	strings.ReplaceAll(manifest, "app: web}", "app: api}"),
	"kind: Deployment\nmetadata: {name: web}", "kind: Deployment\nmetadata: {name: web, annotations: {fibership.dev/recreate: \"true\"}}", 1)

func (p *place) uid(name string) string {
	p.t.Helper()
	d, err := p.Client.Kube.AppsV1().Deployments(p.staging).Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return string(d.UID)
}

func TestDeploy_recreatesWhatIsToldTo(t *testing.T) {
	p := newPlace(t)
	one := p.image("1")
	inputs := map[string]string{"manifests": "web.yaml"}
	p.file("web.yaml", manifest)
	p.deploy(one, inputs)
	was := p.uid("web")

	p.file("web.yaml", anew)
	o := p.deploy(one, with(inputs, "dry-run", "true"))
	outputs(t, o, map[string]string{"status": "planned"})
	contains(t, o.Log, "recreate Deployment web", "spec.selector cannot be changed in place", "app: api", "1 to delete and create again")
	if p.uid("web") != was {
		t.Fatal("a dry run made it anew")
	}
	o = p.deploy(one, inputs)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2"})
	contains(t, o.Log, "deleting Deployment web, to create it again", "recreated Deployment web")
	anewly := p.uid("web")
	if anewly == was {
		t.Error("it is the same Deployment still")
	}
	// The way back leads through the same door, though the older manifest says
	// nothing of it.
	o = p.run(0, "rollback", map[string]string{"environment": "staging", "namespace": p.staging})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3"})
	if p.uid("web") == anewly || p.pods(p.staging, "app=web") != 2 || p.pods(p.staging, "app=api") != 0 {
		t.Error("the first release is not what runs")
	}
}

func TestDeploy_takesBackWhatItMadeAnew(t *testing.T) {
	p := newPlace(t)
	one := p.image("1")
	inputs := map[string]string{"manifests": "web.yaml"}
	p.file("web.yaml", manifest)
	p.deploy(one, inputs)
	p.file("web.yaml", strings.ReplaceAll(anew, "image: IMAGE", "image: IMAGE\n          env: [{name: CRASH_AFTER, value: 0s}]"))
	o := p.run(1, "deploy-staging", map[string]string{"image": one, "manifests": "web.yaml"})
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "2"})
	if p.pods(p.staging, "app=web") != 2 || p.pods(p.staging, "app=api") != 0 {
		t.Errorf("the first release is not what runs; the log:\n%s", o.Log)
	}
}

// Killed after the Deployment was deleted and before it is there again, the
// next run brings it back.
func TestDeploy_killedBetweenDeletingAndCreatingIsSettled(t *testing.T) {
	p := newPlace(t)
	one := p.image("1")
	inputs := map[string]string{"image": one, "manifests": "web.yaml"}
	p.file("web.yaml", manifest)
	p.run(0, "deploy-staging", inputs)
	p.file("web.yaml", anew)

	proxy, err := kill.StartProxy(p.Client.REST, kill.Point{Line: "DELETE /apis/apps/v1/namespaces/" + p.staging + "/deployments/web", Moment: kill.Answered})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	if p.kubeconfig, err = proxy.Kubeconfig(); err != nil {
		t.Fatal(err)
	}
	deploy, err := p.step("deploy-staging", inputs).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proxy.Kills(deploy.Kill)
	if o, err := deploy.Wait(); err != nil {
		t.Fatal(err)
	} else if at, _, err := proxy.Killed(); at == "" || err != nil {
		t.Fatalf("it was not killed (%v); its log:\n%s", err, o.Log)
	}
	p.kubeconfig = ""
	o := p.run(0, "rollback", map[string]string{"environment": "staging", "namespace": p.staging, "to": "live"})
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})
	eventually(t, "the pods of the first release alone", func(context.Context) bool {
		return p.pods(p.staging, "app=web") == 2 && p.pods(p.staging, "app=api") == 0
	})
	p.answers(p.staging, `"version":"1"`)
	if h := p.history("staging", p.staging); h[0].Status != release.RolledBack {
		t.Errorf("the killed release is %s", h[0].Status)
	}
}
