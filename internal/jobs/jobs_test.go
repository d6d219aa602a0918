package jobs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const digest = "ghcr.io/acme/orders@sha256:1111111111111111111111111111111111111111111111111111111111111111"

func load(t *testing.T, content string) (*Job, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "job.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(t.Context(), dir, "job.yaml", "before")
}

const written = `apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template:
    spec:
      containers:
        - {name: migrate, image: IMAGE, args: [migrate]}
`

func TestLoad_wantsOneJobAndSaysWhatItFound(t *testing.T) {
	for name, c := range map[string]struct{ content, say string }{
		"two objects":   {written + "---\n" + strings.ReplaceAll(written, "name: migrate}\n", "name: other}\n"), "2 objects"},
		"a Deployment":  {strings.ReplaceAll(strings.ReplaceAll(written, "batch/v1", "apps/v1"), "kind: Job", "kind: Deployment"), "expected a Job"},
		"no container":  {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {containers: []}}}\n", "no container"},
		"suspended":     {strings.ReplaceAll(written, "spec:\n  template", "spec:\n  suspend: true\n  template"), "suspended"},
		"a wrong type":  {strings.ReplaceAll(written, "args: [migrate]", "args: migrate"), "job.yaml:1"},
		"no YAML":       {"kind: [\n", "job.yaml"},
		"a List of two": {"apiVersion: v1\nkind: List\nitems:\n" + "- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n", "2 objects"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, c.content); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("error %v, want one with %q", err, c.say)
			}
		})
	}
	if j, err := load(t, written); err != nil || j.GetName() != "migrate" || j.Barrier() {
		t.Errorf("Load = %v, %v", j, err)
	}
}

func TestFill_putsTheAddressWhereTheWordStandsAlone(t *testing.T) {
	j, err := load(t, `apiVersion: batch/v1
kind: Job
metadata: {name: test}
spec:
  template:
    spec:
      containers:
        - name: test
          image: IMAGE
          command: [curl, SERVICE_URL/livez, "--url=SERVICE_URL", $(SERVICE_URL)/x, "${SERVICE_URL}", MY_SERVICE_URL, SERVICE_URLS]
          env:
            - {name: TARGET, value: SERVICE_URL}
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - name: mine
          image: curlimages/curl:8
          env: [{name: SERVICE_URL, value: "http://elsewhere"}]
`)
	if err != nil {
		t.Fatal(err)
	}
	j.Fill("ghcr.io/acme/orders", digest, "http://web.staging.svc:80")
	text := yamlOf(t, j.Unstructured)
	for _, want := range []string{
		"image: " + digest, "image: curlimages/curl:8", "- http://web.staging.svc:80/livez", "--url=http://web.staging.svc:80",
		"- $(SERVICE_URL)/x", "- ${SERVICE_URL}", "- MY_SERVICE_URL", "- SERVICE_URLS",
		"- name: SERVICE_URL\n          value: http://web.staging.svc:80", "- name: TARGET\n          value: http://web.staging.svc:80",
		"fieldPath: metadata.name", "value: http://elsewhere",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "value: null") {
		t.Errorf("a variable without a value got one:\n%s", text)
	}
}

func TestInstance_isBoundedAndNamedApart(t *testing.T) {
	j, err := load(t, strings.ReplaceAll(written, "name: migrate}\n", "name: "+strings.Repeat("m", 70)+", labels: {mine: kept}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Namespace: "staging", Labels: map[string]string{"fibership.dev/service": "web"}, Timeout: 90e9}
	one, deadline, err := j.instance(o)
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := j.instance(o)
	if err != nil {
		t.Fatal(err)
	}
	if one.GetName() == two.GetName() || len(one.GetName()) > 63-len("-99") {
		t.Errorf("names %s and %s", one.GetName(), two.GetName())
	}
	text := yamlOf(t, one)
	for _, want := range []string{
		"activeDeadlineSeconds: 90", "backoffLimit: 0", "restartPolicy: Never", "mine: kept", "fibership.dev/service: web",
		"ttlSecondsAfterFinished: 3600", "namespace: staging",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "fibership.dev/job: before"); n != 2 || deadline.Seconds() != 90 {
		t.Errorf("%d labels and a deadline of %v:\n%s", n, deadline, text)
	}
	j.SetNamespace("elsewhere")
	if _, _, err := j.instance(o); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a Job of another namespace: %v", err)
	}
}

func TestReader_goesOnAfterABreak(t *testing.T) {
	var got []string
	r := reader{line: func(line string) { got = append(got, line) }}
	first := "2026-01-02T10:00:00.000000001Z one\n2026-01-02T10:00:00.000000002Z two\n"
	if err := r.read(strings.NewReader(first)); err != nil {
		t.Fatal(err)
	}
	if err := r.read(strings.NewReader(first + "2026-01-02T10:00:00.000000003Z three\r\nno timestamp")); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(got, "|"); text != "one|two|three|no timestamp" {
		t.Errorf("lines %q", text)
	}
}

func yamlOf(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	raw, err := yaml.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
