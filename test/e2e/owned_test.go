package e2e

import (
	"context"
	"maps"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorization "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

// there is what others keep in the namespace.
const there = `apiVersion: v1
kind: ConfigMap
metadata: {name: shared}
data: {mode: plain}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 3000}]}
`

// others makes objects as somebody else would, and gives them as they are then.
func (p *place) others(text string, labels map[string]string) map[string]*unstructured.Unstructured {
	p.t.Helper()
	made := make(map[string]*unstructured.Unstructured)
	for _, part := range strings.Split(text, "---\n") {
		u := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			p.t.Fatal(err)
		}
		u.SetLabels(labels)
		resource := corev1.SchemeGroupVersion.WithResource(map[string]string{
			"ConfigMap": "configmaps", "PersistentVolumeClaim": "persistentvolumeclaims", "Service": "services",
		}[u.GetKind()])
		now, err := p.Client.Dynamic.Resource(resource).Namespace(p.staging).Create(p.t.Context(), u, metav1.CreateOptions{FieldManager: "somebody"})
		if err != nil {
			p.t.Fatal(err)
		}
		made[u.GetKind()] = now
	}
	return made
}

func (p *place) read(u *unstructured.Unstructured) *unstructured.Unstructured {
	p.t.Helper()
	now, err := p.Client.Get(p.t.Context(), release.Describe(u))
	if err != nil {
		p.t.Fatal(err)
	}
	return now
}

func data(u *unstructured.Unstructured) map[string]string {
	found, _, _ := unstructured.NestedStringMap(u.Object, "data")
	return found
}

func TestDeploy_aFirstReleaseThatFailsLeavesWhatWasThere(t *testing.T) {
	p := newPlace(t)
	made := p.others(there, map[string]string{"team": "shop"})
	p.file("web.yaml", strings.ReplaceAll(manifest, "image: IMAGE", "image: IMAGE\n          env: [{name: CRASH_AFTER, value: 0s}]")+
		"---\n"+strings.ReplaceAll(there, "{mode: plain}", "{mode: plain, colour: red}")+
		"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: "+p.staging+", annotations: {by: web}}\n")
	inputs := map[string]string{"image": p.image("1"), "manifests": "web.yaml"}
	o := p.run(0, "deploy-staging", with(inputs, "dry-run", "true"))
	contains(t, o.Log, "ConfigMap shared is there already", "PersistentVolumeClaim data is there already", "Service front is there already", "Namespace "+p.staging+" is there already")
	o = p.run(1, "deploy-staging", inputs)
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "1"})
	contains(t, o.Log, "left ConfigMap shared: it is not deleted, as it was there before")
	for kind, was := range made {
		now := p.read(was)
		if now == nil || now.GetUID() != was.GetUID() || now.GetDeletionTimestamp() != nil {
			t.Errorf("%s %s was deleted; the log:\n%s", kind, was.GetName(), o.Log)
			continue
		}
		if !maps.Equal(now.GetLabels(), was.GetLabels()) || !maps.Equal(data(now), data(was)) {
			t.Errorf("%s has labels %v and data %v, want %v and %v", kind, now.GetLabels(), data(now), was.GetLabels(), data(was))
		}
	}
	namespace, err := p.Client.Kube.CoreV1().Namespaces().Get(t.Context(), p.staging, metav1.GetOptions{})
	if err != nil || namespace.DeletionTimestamp != nil {
		t.Fatalf("the namespace: %v, deleted at %v", err, namespace.DeletionTimestamp)
	}
	if h := p.history("staging", p.staging); len(h) != 1 || h[0].Status != release.RolledBack {
		t.Errorf("the history: %v", h)
	}
	if p.pods(p.staging, "app=web") != 0 {
		t.Error("what the release made is still there")
	}
}

func TestDeploy_whatWasThereIsChangedAndNeverPruned(t *testing.T) {
	p := newPlace(t)
	was := p.others("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {mode: plain}\n", nil)["ConfigMap"]
	image := p.image("1")
	deploy := func(manifest, status string) string {
		t.Helper()
		p.file("web.yaml", manifest)
		o := p.deploy(image, map[string]string{"manifests": "web.yaml"})
		outputs(t, o, map[string]string{"status": status})
		return o.Log
	}
	own := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {a: b}\n"
	with := manifest + own + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {mode: plain, colour: red}\n"
	deploy(with, "succeeded")
	if now := p.read(was); data(now)["colour"] != "red" {
		t.Errorf("it was not changed: %v", data(now))
	}
	deploy(with, "unchanged")
	deploy(strings.ReplaceAll(with, "colour: red", "colour: blue"), "succeeded") // the mark outlives a release that changes it
	log := deploy(manifest, "succeeded")
	contains(t, log, "removed ConfigMap own", "left ConfigMap shared")
	now := p.read(was)
	if now == nil || now.GetUID() != was.GetUID() || data(now)["mode"] != "plain" {
		t.Fatalf("it was pruned; the log:\n%s", log)
	}
	if len(now.GetLabels()) > 0 {
		t.Errorf("it still bears the labels %v", now.GetLabels())
	}
	o := p.run(0, "rollback", map[string]string{"environment": "staging", "namespace": p.staging})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "4"})
	deploy(manifest, "succeeded")
	if now := p.read(was); now == nil || now.GetUID() != was.GetUID() {
		t.Error("it was pruned after a rollback had taken it over again")
	}
}

func TestDeploy_refusesWhatIsAnotherServices(t *testing.T) {
	p := newPlace(t)
	was := p.others("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {mode: plain}\n", deploy.Labels("api", "staging"))["ConfigMap"]
	p.file("web.yaml", manifest+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata: {mode: plain}\n")
	for _, dry := range []string{"true", "false"} {
		o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml", "dry-run": dry})
		outputs(t, o, map[string]string{"status": "refused"})
		contains(t, o.Log, "web.yaml:30: ConfigMap shared belongs to the service api in staging", "give it another name")
	}
	p.nothing(p.staging)
	if now := p.read(was); now.GetResourceVersion() != was.GetResourceVersion() {
		t.Error("it was written to")
	}
}

func TestDeploy_refusesObjectsOfAnotherNamespace(t *testing.T) {
	p := newPlace(t)
	p.file("web.yaml", manifest+"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: elsewhere, namespace: "+p.production+"}\n")
	o, err := p.step("deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml"}).Run(t.Context())
	if err != nil || o.Exit == 0 {
		t.Fatalf("it ended with %d, %v; the log:\n%s", o.Exit, err, o.Log)
	}
	contains(t, o.Log, "web.yaml:30: ConfigMap elsewhere: it is for the namespace "+p.production)
	p.nothing(p.staging)
}

// What a release removes at its end, it is asked for before it begins.
func TestRights_toDeleteAreAskedForFirst(t *testing.T) {
	p := newPlace(t)
	p.grant("staging.yaml", p.staging, "")
	roles := p.Client.Kube.RbacV1().Roles(p.staging)
	role, err := roles.Get(t.Context(), "fibership", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, rule := range role.Rules {
		if rule.Resources[0] == "services" {
			role.Rules[i].Verbs = []string{"get", "list", "create", "patch"}
		}
	}
	if _, err := roles.Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	p.allowed(p.staging, false, authorization.ResourceAttributes{Namespace: p.staging, Verb: "delete", Resource: "services"})
	restricted, image := p.account(p.staging), p.image("1")
	extra := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\ndata: {a: b}\n"
	p.file("web.yaml", manifest+extra)
	inputs := map[string]string{"image": image, "manifests": "web.yaml"}

	p.kubeconfig = restricted
	o := p.run(1, "deploy-staging", inputs)
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "no right to delete configmaps, delete services")
	p.nothing(p.staging)

	p.kubeconfig = ""
	p.run(0, "deploy-staging", inputs)
	p.kubeconfig = restricted
	p.file("web.yaml", manifest)
	o = p.run(1, "deploy-staging", inputs)
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "no right to delete configmaps")
	if h := p.history("staging", p.staging); len(h) != 1 {
		t.Errorf("%d releases are recorded", len(h))
	}
}

// A kind that others define is judged by its conditions.
func TestDeploy_waitsForWhatOthersDefine(t *testing.T) {
	p := newPlace(t)
	group := p.staging + ".example.com"
	crd := "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: rockets." + group + `}
spec:
  group: ` + group + `
  scope: Namespaced
  names: {plural: rockets, singular: rocket, kind: Rocket}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`
	t.Cleanup(func() {
		o := release.Object{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: "rockets." + group}
		if err := p.Client.Delete(context.WithoutCancel(t.Context()), o, false); err != nil {
			t.Error(err)
		}
	})
	image := p.image("1")
	// The kind keeps no status by itself, so what a controller would say is in the manifest.
	rocket := func(conditions string) string {
		return crd + "---\napiVersion: " + group + "/v1\nkind: Rocket\nmetadata: {name: saturn}\nstatus: {conditions: [" + conditions + "]}\n"
	}
	run := func(exit int, objects, status string, say ...string) {
		t.Helper()
		p.file("web.yaml", manifest+objects)
		o := p.run(exit, "deploy-staging", map[string]string{"image": image, "manifests": "web.yaml"})
		outputs(t, o, map[string]string{"status": status})
		contains(t, o.Log, say...)
	}
	run(0, rocket(`{type: Ready, status: "True"}`), "succeeded")
	run(1, rocket(`{type: Ready, status: "False"}, {type: Stalled, status: "True", message: no fuel in the tank}`), "rolled-back", "Rocket saturn", "no fuel in the tank")
	run(0, crd+"---\napiVersion: "+group+"/v1\nkind: Rocket\nmetadata: {name: ariane}\nspec: {}\n", "succeeded")
	p.timeout = "15s"
	run(1, rocket(`{type: Ready, status: "False", message: still filling up}`), "rolled-back", "still filling up")
}

// What stands beside is removed in the end: it must be ours.
func TestPromote_refusesToTakeWhatOthersHaveForItsCanary(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	none := int32(0)
	theirs := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web-canary"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "theirs"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "theirs"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: one}}},
			},
		},
	}
	deployments := p.Client.Kube.AppsV1().Deployments(p.production)
	was, err := deployments.Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.deploy(two, nil)
	o := p.run(1, "promote", map[string]string{"steps": "50%"})
	contains(t, o.Log, "Deployment web-canary is there already, made by others")
	now, err := deployments.Get(t.Context(), "web-canary", metav1.GetOptions{})
	if err != nil || now.UID != was.UID || now.Generation != was.Generation {
		t.Errorf("it was touched: %v", err)
	}
	p.answers(p.production, `"version":"1"`)
}
