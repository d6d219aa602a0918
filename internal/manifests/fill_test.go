package manifests

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func decode(t *testing.T, text string) []Object {
	t.Helper()
	objs, err := Decode("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

const digest = "@sha256:0123456789012345678901234567890123456789012345678901234567890123"

func TestFill_knowsTheRepositoryUnderAllItsNames(t *testing.T) {
	for _, test := range []struct {
		repository, image string
		filled            bool
	}{
		{"ghcr.io/acme/orders", "ghcr.io/acme/orders", true},
		{"ghcr.io/acme/orders", "ghcr.io/acme/orders:v1", true},
		{"ghcr.io/acme/orders", "ghcr.io/acme/orders" + digest, true},
		{"ghcr.io/acme/orders", "ghcr.io/acme/orders:v1" + digest, true},
		{"ghcr.io/acme/orders", "IMAGE", true},
		{"ghcr.io/acme/orders", "image", false},
		{"ghcr.io/acme/orders", "ghcr.io/acme/orders-db", false},
		{"ghcr.io/acme/orders", "acme/orders", false},
		{"ghcr.io/acme/orders", "not an image", false},
		{"ghcr.io/acme/orders", "", false},
		{"orders", "docker.io/library/orders:1", true},
		{"docker.io/library/orders", "orders", true},
		{"index.docker.io/acme/orders", "acme/orders:v1", true},
		{"127.0.0.1:5000/orders", "127.0.0.1:5000/orders:v1", true},
		{"127.0.0.1:5000/orders", "127.0.0.1:5001/orders:v1", false},
	} {
		objs := decode(t, strings.Replace(deployment, "ghcr.io/acme/orders:latest", `"`+test.image+`"`, 1))
		n, err := Fill(objs, test.repository, test.repository+digest)
		if (n == 1) != test.filled || (err == nil) != test.filled {
			t.Errorf("%s in %s: filled %d, %v", test.image, test.repository, n, err)
		}
		template, _ := PodTemplate(objs[0].Unstructured)
		if got := template.Spec.Containers[0].Image == test.repository+digest; got != test.filled {
			t.Errorf("%s in %s: the image is %s", test.image, test.repository, template.Spec.Containers[0].Image)
		}
	}
}

func TestFill_reachesEveryKindAndInitContainers(t *testing.T) {
	pod := "{initContainers: [{name: i, image: IMAGE}], containers: [{name: c, image: IMAGE}, {name: side, image: envoy}]}"
	for _, test := range []struct{ kind, spec string }{
		{"apps/v1 Deployment", "{template: {spec: " + pod + "}}"},
		{"apps/v1 StatefulSet", "{template: {spec: " + pod + "}}"},
		{"apps/v1 DaemonSet", "{template: {spec: " + pod + "}}"},
		{"apps/v1 ReplicaSet", "{template: {spec: " + pod + "}}"},
		{"batch/v1 Job", "{template: {spec: " + pod + "}}"},
		{"batch/v1 CronJob", "{jobTemplate: {spec: {template: {spec: " + pod + "}}}}"},
		{"v1 Pod", pod},
		{"argoproj.io/v1alpha1 Rollout", "{template: {spec: " + pod + "}}"},
	} {
		version, kind, _ := strings.Cut(test.kind, " ")
		objs := decode(t, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: a}\nspec: "+test.spec)
		if n, err := Fill(objs, "acme/orders", "acme/orders"+digest); n != 2 || err != nil {
			t.Errorf("%s: filled %d, %v", test.kind, n, err)
		}
		template, ok := PodTemplate(objs[0].Unstructured)
		if !ok || template.Spec.InitContainers[0].Image != "acme/orders"+digest || template.Spec.Containers[1].Image != "envoy" {
			t.Errorf("%s: template %+v", test.kind, template)
		}
	}
}

func TestFill_namesTheImagesThatItFound(t *testing.T) {
	objs := decode(t, deployment)
	_, err := Fill(objs, "ghcr.io/acme/basket", "ghcr.io/acme/basket"+digest)
	if err == nil || !strings.Contains(err.Error(), "found: ghcr.io/acme/orders:latest (Deployment web, f.yaml:1)") {
		t.Errorf("error %v", err)
	}
	if _, err := Fill(decode(t, object("ConfigMap", "a")), "acme/a", "acme/a"+digest); err == nil || !strings.Contains(err.Error(), "no object has a container") {
		t.Errorf("error %v", err)
	}
}

func TestSetPodTemplate_putsBackWhatWasRead(t *testing.T) {
	o := decode(t, deployment)[0]
	template, _ := PodTemplate(o.Unstructured)
	template.Spec.Containers[0].Image = "changed"
	if err := SetPodTemplate(o.Unstructured, template); err != nil {
		t.Fatal(err)
	}
	again, ok := PodTemplate(o.Unstructured)
	if !ok || again.Spec.Containers[0].Image != "changed" {
		t.Errorf("template %+v", again)
	}
	if _, found, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "template", "metadata", "creationTimestamp"); found {
		t.Error("a creationTimestamp was added")
	}
	if err := SetPodTemplate(decode(t, object("ConfigMap", "a"))[0].Unstructured, template); err == nil {
		t.Error("a ConfigMap took a pod template")
	}
}

func TestPlace_putsObjectsIntoTheNamespace(t *testing.T) {
	objs := decode(t, object("ConfigMap", "a")+"---\n"+object("Namespace", "ns")+"  namespace: wrong\n---\n"+object("ConfigMap", "b")+"  namespace: staging\n")
	scoped := func(u *unstructured.Unstructured) (bool, error) { return u.GetKind() != "Namespace", nil }
	if err := Place(objs, "staging", scoped); err != nil {
		t.Fatal(err)
	}
	if a, n, b := objs[0].GetNamespace(), objs[1].GetNamespace(), objs[2].GetNamespace(); a != "staging" || n != "" || b != "staging" {
		t.Errorf("namespaces %q, %q, %q", a, n, b)
	}
	twice := decode(t, object("ConfigMap", "a")+"---\n"+object("ConfigMap", "a")+"  namespace: staging\n")
	if err := Place(twice, "staging", scoped); err == nil || !strings.Contains(err.Error(), "f.yaml:6: ConfigMap a is already defined at f.yaml:1") {
		t.Errorf("two that turn out to be one: %v", err)
	}
	elsewhere := decode(t, object("ConfigMap", "a")+"---\n"+object("ConfigMap", "b")+"  namespace: own\n")
	if err := Place(elsewhere, "staging", scoped); err == nil || !strings.Contains(err.Error(), "f.yaml:6: ConfigMap b: it is for the namespace own") {
		t.Errorf("an object of another namespace: %v", err)
	}
}

func TestOwn_labelsTheObjectAndNotItsPods(t *testing.T) {
	objs := decode(t, deployment)
	Own(objs, map[string]string{"owner": "me"})
	template, _ := PodTemplate(objs[0].Unstructured)
	if objs[0].GetLabels()["owner"] != "me" || template.Labels["owner"] != "" {
		t.Errorf("labels %v and %v", objs[0].GetLabels(), template.Labels)
	}
}

func TestDropScaled_leavesReplicasToTheAutoscaler(t *testing.T) {
	objs := decode(t, `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 3}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec: {replicas: 3}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 9}
`)
	DropScaled(objs)
	_, web, _ := unstructured.NestedInt64(objs[0].Object, "spec", "replicas")
	_, api, _ := unstructured.NestedInt64(objs[1].Object, "spec", "replicas")
	if web || !api {
		t.Errorf("replicas given: web %v, api %v", web, api)
	}
}
