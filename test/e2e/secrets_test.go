package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/runner"
)

// give makes or changes the Secret "given", whose one value is in the key.
func (p *place) give(namespace, key, value string) {
	p.t.Helper()
	secrets := p.Client.Kube.CoreV1().Secrets(namespace)
	given := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "given"}, StringData: map[string]string{key: value}}
	_, err := secrets.Create(p.t.Context(), given, metav1.CreateOptions{})
	if err != nil {
		_, err = secrets.Update(p.t.Context(), given, metav1.UpdateOptions{})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// secretive is the service, given the Secret; with replaces more of its manifest.
func secretive(with ...string) string {
	return strings.NewReplacer(append(with, "envFrom: [", "envFrom: [{secretRef: {name: given}}, ")...).Replace(manifest)
}

// hides wants a secret nowhere in what an action told, nor in the records, and
// the place of it to be seen in the log.
func hides(t *testing.T, secret string, o runner.Outcome, histories ...release.History) {
	t.Helper()
	told := map[string]string{"log": o.Log, "summary": o.Summary}
	for name, value := range o.Outputs {
		told["output "+name] = value
	}
	for _, h := range histories {
		if len(h) == 0 {
			t.Fatalf("nothing was recorded; the log:\n%s", o.Log)
		}
		raw, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		told["history of "+h[0].Service] = string(raw)
	}
	for where, text := range told {
		for line := range strings.Lines(text) {
			if strings.Contains(line, secret) {
				t.Errorf("the secret is in the %s: %s", where, line)
			}
		}
	}
	if !strings.Contains(o.Log, "***") {
		t.Errorf("nothing was hidden in the log:\n%s", o.Log)
	}
}

const planted = "pl4nted/Value+77"

func TestDeploy_hidesWhatAProbePrints(t *testing.T) {
	p := newPlace(t)
	p.timeout = "40s"
	p.give(p.staging, "GREET", planted)
	p.file("web.yaml", secretive(`{configMapRef: {name: settings}}`, "",
		"httpGet: {path: /readyz, port: 3000}", `exec: {command: [/web, fetch, "http://127.0.0.1:3000/"]}`,
		"image: IMAGE", "image: IMAGE\n          env: [{name: FAIL_RATE, value: \"1\"}]"))
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml"})
	hides(t, planted, o, p.history("staging", p.staging))
	contains(t, o.Log, "answers 500", "suspect")
}

// The API server tells the value that it does not take.
func TestDeploy_hidesTheSecretThatIsRefused(t *testing.T) {
	p := newPlace(t)
	p.file("web.yaml", manifest+"---\napiVersion: v1\nkind: Secret\nmetadata: {name: pin}\nstringData: {pin: 4711471147}\n")
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml"})
	hides(t, "4711471147", o)
}

func TestDeploy_hidesTheCommandThatCannotStart(t *testing.T) {
	p := newPlace(t)
	p.give(p.staging, "GREET", planted)
	p.file("web.yaml", secretive(`{configMapRef: {name: settings}}`, "", "image: IMAGE", "image: IMAGE\n          command: [\"/$(GREET)\"]"))
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml"})
	hides(t, planted, o, p.history("staging", p.staging))
	contains(t, o.Log, "no such file")
}

func TestDeploy_hidesWhatASmokeTestIsAnswered(t *testing.T) {
	p := newPlace(t)
	p.give(p.staging, "GREET", planted)
	p.file("web.yaml", secretive(`{configMapRef: {name: settings}}`, ""))
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml", "smoke-tests": "GET / => 418"})
	hides(t, planted, o, p.history("staging", p.staging))
	contains(t, o.Outputs["checks"], "status 200 instead of 418", "***")
}

func TestDeploy_hidesWhatTheReleaseBeforePrintsInTheUndo(t *testing.T) {
	p := newPlace(t)
	p.timeout = "60s"
	inputs := map[string]string{"image": p.image("1"), "manifests": "web.yaml"}
	p.give(p.staging, "CRASH_AFTER", "9001h7m13s")
	p.file("web.yaml", secretive("spec:\n  replicas", "spec:\n  strategy: {type: Recreate}\n  replicas"))
	p.run(0, "deploy-staging", inputs)
	const changed = "1ms31us77ns"
	p.give(p.staging, "CRASH_AFTER", changed)
	inputs["image"] = p.image("2")
	o := p.run(1, "deploy-staging", inputs)
	hides(t, changed, o, p.history("staging", p.staging))
	contains(t, o.Log, "release 1 was applied again but does not serve", "crashing after *** as CRASH_AFTER says")
}

func TestServices_hideWhatOneOfThemPrints(t *testing.T) {
	p := newPair(t)
	const after = "1ms31us77ns"
	p.give(p.production, "after", after)
	p.write("cart", "{name: CRASH_AFTER, valueFrom: {secretKeyRef: {name: given, key: after}}}")
	o := p.run(1, "promote", p.together())
	hides(t, after, o, p.records("orders"), p.records("cart"))
	contains(t, o.Log, "crashing after *** as CRASH_AFTER says")
}
