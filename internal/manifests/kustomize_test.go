package manifests

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: ghcr.io/acme/orders:latest
        envFrom: [{configMapRef: {name: settings}}]
`

func TestLoad_buildsAnOverlayOverItsBase(t *testing.T) {
	root := tree(t, map[string]string{
		"deploy/base/kustomization.yaml": "resources: [web.yaml]\n",
		"deploy/base/web.yaml":           "\n" + deployment,
		"deploy/overlays/staging/kustomization.yaml": `
resources: [../../base, service.yaml]
namespace: staging
images: [{name: ghcr.io/acme/orders, newName: ghcr.io/acme/orders, newTag: v2}]
configMapGenerator: [{name: settings, literals: ["HOME=https://acme.example/"]}]
patches:
- patch: |-
    - op: add
      path: /spec/replicas
      value: 3
  target: {kind: Deployment}
`,
		"deploy/overlays/staging/service.yaml": object("Service", "web"),
	})
	for _, given := range []string{"deploy/overlays/staging", "deploy/overlays/staging/kustomization.yaml", "deploy/overlays"} {
		objs, err := Load(t.Context(), root, []string{given})
		if err != nil {
			t.Fatalf("%s: %v", given, err)
		}
		var web, settings *Object
		for i := range objs {
			switch objs[i].GetKind() {
			case "Deployment":
				web = &objs[i]
			case "ConfigMap":
				settings = &objs[i]
			}
		}
		if len(objs) != 3 || web == nil || settings == nil {
			t.Fatalf("%s: %s", given, places(objs))
		}
		if web.GetNamespace() != "staging" || web.Place() != "deploy/base/web.yaml:2" {
			t.Errorf("the Deployment is in %q, from %s", web.GetNamespace(), web.Place())
		}
		if replicas := web.Object["spec"].(map[string]any)["replicas"]; replicas != int64(3) {
			t.Errorf("replicas %v (%T)", replicas, replicas)
		}
		const ref = "ghcr.io/acme/orders@sha256:0123456789012345678901234567890123456789012345678901234567890123"
		if n, err := Fill(objs, "ghcr.io/acme/orders", ref); n != 1 || err != nil {
			t.Errorf("filled %d, %v", n, err)
		}
		// Kustomize hashed the name already; the reference follows ours.
		Version(objs)
		template, _ := PodTemplate(web.Unstructured)
		if name := template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name; name != settings.GetName() {
			t.Errorf("the Deployment uses %s, the ConfigMap is %s", name, settings.GetName())
		}
	}
}

func TestLoad_keepsKustomizeFromTheNetworkAndOutOfRoot(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte(object("ConfigMap", "fetched")))
	}))
	defer server.Close()
	outside := tree(t, map[string]string{"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": object("ConfigMap", "stolen"), "secret": "stolen"})
	const network = "would come from the network"
	for _, test := range []struct{ name, kustomization, want string }{
		{"a URL", "resources: [" + server.URL + "/a.yaml]", "kustomization.yaml:1: "},
		{"a URL in capitals", "RESOURCES: ['" + strings.Replace(server.URL, "http", "HTTP", 1) + "/a.yaml']", network},
		{"a URL with a line after it", "resources:\n- |\n  " + server.URL + "/a.yaml\n", network},
		{"a repository", "resources: [github.com/acme/base]", network},
		{"a repository by ssh", "resources: ['git@example.com:acme/base.git']", network},
		{"a forced repository", "resources: ['git::https://example.com/base']", network},
		{"a component", "components: ['https://example.com/acme/c?ref=v1']", network},
		{"a base", "bases: ['https://example.com/acme/c?ref=v1']", network},
		{"a patch", "resources: [ok.yaml]\npatches: [{path: " + server.URL + "/p.yaml}]", network},
		{"a generator's file", "configMapGenerator: [{name: a, files: [a=" + server.URL + "/f]}]", network},
		{"a generator's environment", "secretGenerator: [{name: a, envs: [" + server.URL + "/f]}]", network},
		{"a generator in place", "generators:\n- |\n  apiVersion: builtin\n  kind: ConfigMapGenerator\n  metadata: {name: a}\n  files: [" + server.URL + "/f]\n", network},
		{"a generator in a file", "generators: [generator.yaml]", network},
		{"a transformer", "resources: [ok.yaml]\ntransformers: [" + server.URL + "/t.yaml]", network},
		{"an OpenAPI schema", "resources: [ok.yaml]\nopenapi: {path: " + server.URL + "/o.json}", network},
		{"a Helm chart", "helmCharts: [{name: a, repo: " + server.URL + ", version: 1.0.0}]", "helm"},
		{"a plugin", "generators:\n- |\n  apiVersion: acme/v1\n  kind: Script\n  metadata: {name: a, annotations: {config.kubernetes.io/function: 'exec: {path: /bin/true}'}}\n", "kustomization.yaml: "},
		{"a base outside", "resources: [../../base]", "leads out of the workspace"},
		{"a base by its whole path", "resources: [" + outside + "/base]", "kustomization.yaml: "},
		{"a base by a link", "resources: [link]", "symbolic link leads out"},
		{"a file by a link", "configMapGenerator: [{name: a, files: [secret]}]", "symbolic link leads out"},
		{"a file beside the folder", "configMapGenerator: [{name: a, files: [../beside.txt]}]", "kustomization.yaml: "},
		{"an alias bomb", "resources: [bomb.yaml]", "aliases grow beyond measure"},
		{"no YAML", "resources: [", "kustomization.yaml: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := tree(t, map[string]string{
				"app/kustomization.yaml": test.kustomization,
				"app/ok.yaml":            object("ConfigMap", "ok"),
				"app/bomb.yaml":          bomb(),
				"app/generator.yaml":     "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: a}\nfiles: [" + server.URL + "/f]\n",
				"beside.txt":             "text",
			})
			for link, to := range map[string]string{"app/link": outside + "/base", "app/secret": outside + "/secret"} {
				if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
					t.Fatal(err)
				}
			}
			objs, err := Load(t.Context(), root, []string{"app"})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "app/") {
				t.Errorf("objects %s, error %v; want %q", places(objs), err, test.want)
			}
		})
	}
	if asked > 0 {
		t.Errorf("kustomize sent %d requests", asked)
	}
}
