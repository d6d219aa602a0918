package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action/actiontest"
)

// nowhere is a kubeconfig of a server that nobody asks in these tests.
const nowhere = `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: hunter2token}}]
`

func exec(t *testing.T, files, inputs map[string]string) actiontest.Result {
	t.Helper()
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	workspace := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(workspace, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]string{"service": "orders", "image": "127.0.0.1:1/orders:v1", "kubeconfig": nowhere}
	for name, value := range inputs {
		all[name] = value
	}
	return actiontest.Exec(t, spec, run, all, "GITHUB_WORKSPACE="+workspace)
}

func wrong(got actiontest.Result) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(got.Log) {
		if rest, ok := strings.CutPrefix(line, "::error title=Wrong input%3A "); ok {
			name, message, _ := strings.Cut(rest, "::")
			found[name] += message
		}
		// GitHub shows ten annotations of a step; what is beyond is in the log.
		if rest, ok := strings.CutPrefix(line, "error: Wrong input: "); ok {
			name, message, _ := strings.Cut(rest, ": ")
			found[name] += message
		}
	}
	return found
}

func TestInputs_wrongOnesAreToldAtOnceWithAnExample(t *testing.T) {
	got := exec(t, nil, map[string]string{
		"image": "ghcr.io/acme/orders", "port": "0", "env": "PASSWORD=hunter2\nBAD", "env-from": "db", "cpu": "lots", "memory": "-1Mi",
		"readiness-path": "readyz", "liveness-path": "x", "gateway": "public", "host": "https://a", "image-pull-secret": "A_B",
		"load": "fast", "thresholds": "fast", "smoke-tests": "PUT", "tool-image": "deploy", "timeout": "soon", "dry-run": "yes",
	})
	told := wrong(got)
	for _, name := range []string{
		"image", "port", "env", "env-from", "cpu", "memory", "readiness-path", "liveness-path", "gateway", "host", "image-pull-secret",
		"load", "thresholds", "smoke-tests", "tool-image", "timeout", "dry-run",
	} {
		if !strings.Contains(told[name], "; for example: ") {
			t.Errorf("input %s: %q", name, told[name])
		}
	}
	if got.Exit != 2 || strings.Contains(got.Log, "hunter2\n") || strings.Contains(told["env"], "hunter2") {
		t.Errorf("exit %d:\n%s", got.Exit, got.Log)
	}
}

func TestInputs_whatOnlyTheWorkspaceTellsIsToldAtOnceToo(t *testing.T) {
	got := exec(t, nil, map[string]string{
		"manifests": "*.yaml\n../x.yaml", "before": "nowhere.yaml", "integration-tests": "../job.yaml", "flags": "none.json",
		"thresholds": "p95 < 1s", "kubeconfig": "hunter2token", "service": "",
	})
	told := wrong(got)
	for name, say := range map[string]string{
		"manifests": "no file matches", "before": "no such file", "integration-tests": "outside of the workspace", "flags": "no such file",
		"thresholds": "expected the input load", "kubeconfig": "neither the content", "service": "expected a service's name",
	} {
		if !strings.Contains(told[name], say) || !strings.Contains(told[name], "; for example: ") {
			t.Errorf("input %s: %q", name, told[name])
		}
	}
	if got.Exit != 2 || got.Outputs["status"] != "refused" || !strings.Contains(told["manifests"], "../x.yaml") {
		t.Errorf("exit %d, outputs %v", got.Exit, got.Outputs)
	}
	for i, line := range strings.Split(got.Log, "\n") {
		if strings.Contains(line, "hunter2") && !strings.HasPrefix(line, "::add-mask::") {
			t.Errorf("line %d shows the kubeconfig: %s", i, line)
		}
	}
}

func TestInputs_areCheckedBesideEachOther(t *testing.T) {
	const web = "apiVersion: v1\nkind: Service\nmetadata: {name: orders}\nspec: {ports: [{port: 80}]}\n"
	const route = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {hostnames: [a.example], rules: [{backendRefs: [{name: orders, port: 80}]}]}\n"
	for name, c := range map[string]struct {
		files  map[string]string
		inputs map[string]string
		input  string // the wrong one; empty: none
		url    string
	}{
		"a host without a gateway":         {inputs: map[string]string{"host": "a.example"}, input: "gateway", url: "https://a.example"},
		"a host beside manifests":          {map[string]string{"a.yaml": web}, map[string]string{"manifests": "a.yaml", "host": "a.example"}, "host", ""},
		"a host of the manifests":          {map[string]string{"a.yaml": web + route}, map[string]string{"manifests": "a.yaml", "host": "a.example"}, "", "https://a.example"},
		"no host, but one of the route":    {map[string]string{"a.yaml": web + route}, map[string]string{"manifests": "a.yaml"}, "", "https://a.example"},
		"a service that cannot be made":    {inputs: map[string]string{"service": "7up"}, input: "service"},
		"a context that is not there":      {inputs: map[string]string{"context": "x"}, input: "context"},
		"an image without tag and digest":  {inputs: map[string]string{"image": "a/b"}, input: "image"},
		"a manifest that is no YAML":       {map[string]string{"a.yaml": "kind: ["}, map[string]string{"manifests": "a.yaml"}, "", ""},
		"no kubeconfig from anywhere":      {inputs: map[string]string{"kubeconfig": ""}, input: "kubeconfig"},
		"a Job's manifest that holds none": {map[string]string{"a.yaml": web}, map[string]string{"before": "a.yaml"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			// Nothing answers at the registry's address: whoever gets there is refused with exit code 1.
			inputs := map[string]string{"image": "127.0.0.1:1/orders@sha256:" + strings.Repeat("0", 64), "dry-run": "true", "timeout": "1s"}
			for name, value := range c.inputs {
				inputs[name] = value
			}
			if c.input == "" {
				inputs["image"] = "registry.invalid/orders:v1" // no such host: no patience
			}
			got := exec(t, c.files, inputs)
			told := wrong(got)
			exit := 2
			if c.input == "" {
				exit = 1
			}
			if got.Exit != exit || c.input != "" && (len(told) != 1 || !strings.Contains(told[c.input], "; for example: ")) {
				t.Errorf("exit %d, told %v\n%s", got.Exit, told, got.Log)
			}
			if exit == 1 && !strings.Contains(got.Log, "Next: ") {
				t.Errorf("no next step:\n%s", got.Log)
			}
			if c.input != "image" && (got.Outputs["url"] != c.url || got.Outputs["status"] != "refused" || !strings.Contains(got.Outputs["record"], `"status":"refused"`)) {
				t.Errorf("outputs %v", got.Outputs)
			}
		})
	}
}

func TestInputs_whatTheWorkspaceTellsIsToldBesideWhatCannotBeRead(t *testing.T) {
	got := exec(t, nil, map[string]string{"dry-run": "maybe", "kubeconfig": "garbage", "manifests": "nowhere.yaml", "before": "none.yaml"})
	told := wrong(got)
	for _, name := range []string{"dry-run", "kubeconfig", "manifests", "before"} {
		if !strings.Contains(told[name], "; for example: ") {
			t.Errorf("input %s: %q", name, told[name])
		}
	}
	if got.Exit != 2 || got.Outputs["status"] != "refused" || !strings.Contains(got.Summary, "expected true or false") {
		t.Errorf("exit %d, outputs %v, summary:\n%s", got.Exit, got.Outputs, got.Summary)
	}
}
