package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
)

func TestDeploy_servesChecksAndRecords(t *testing.T) {
	p := newPlace(t)
	one := p.image("1")
	o := p.deploy(one, map[string]string{"smoke-tests": "GET / => 200 json .version == \"1\"\nGET /livez => 200"})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "1", "image": one, "digest": one[strings.Index(one, "sha256:"):], "previous-release": ""})
	contains(t, o.Summary, "✅", "release 1", "`GET / => 200 json")
	record := decode[release.Record](t, o.Outputs["record"])
	if record.Status != release.Succeeded || record.Commit == "" || record.Actor != "e2e" || len(record.Checks) != 3 {
		t.Errorf("record = %+v", record)
	}

	o = p.deploy(one, nil)
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})

	two := p.image("2")
	o = p.deploy(two, nil)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2", "previous-release": "1", "previous-image": one})
	if images := p.images(p.staging); len(images) != 1 || images[0] != two {
		t.Errorf("pods run %v, want %s alone", images, two)
	}
}

func TestDeploy_dryRunChangesNothing(t *testing.T) {
	p := newPlace(t)
	o := p.deploy(p.image("1"), map[string]string{"dry-run": "true"})
	outputs(t, o, map[string]string{"status": "planned"})
	contains(t, o.Summary, "create", "Deployment web")
	contains(t, o.Log, "create Deployment web", "replicas: 2")
	p.nothing(p.staging)
}

func TestDeploy_takesBackWhatCrashesAndLosesNoRequest(t *testing.T) {
	p := newPlace(t)
	one := p.image("1")
	p.deploy(one, nil)
	load := loadgen.Start(p.url(p.staging), 50, true)
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("2"), "env": "CRASH_AFTER=0s"})
	counts := load.Stop()
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "2", "previous-release": "1"})
	contains(t, o.Log, "::error", "exit code 3", "crashing after 0s as CRASH_AFTER says")
	if images := p.images(p.staging); len(images) != 1 || images[0] != one {
		t.Errorf("pods run %v, want %s alone", images, one)
	}
	if counts.Failed > 0 || counts.Sent < 50 {
		t.Errorf("requests: %v", counts)
	}
	o = p.deploy(one, nil)
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})
}

func TestDeploy_removesAFirstReleaseThatFails(t *testing.T) {
	p := newPlace(t)
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "env": "CRASH_AFTER=0s"})
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "1"})
	if images := p.images(p.staging); len(images) != 0 {
		t.Errorf("pods run %v, want none", images)
	}
}

func TestDeploy_takesBackWhatFailsASmokeTest(t *testing.T) {
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("2"), "smoke-tests": "GET /status?code=404 => 200"})
	outputs(t, o, map[string]string{"status": "rolled-back"})
	contains(t, o.Log, "GET /status?code=404", "404")
	kept := p.run(1, "deploy-staging", map[string]string{"image": p.image("3"), "smoke-tests": "GET /status?code=404 => 200", "on-failure": "keep"})
	outputs(t, kept, map[string]string{"status": "failed", "release": "3"})
	if images := p.images(p.staging); len(images) != 1 || images[0] != p.image("3") {
		t.Errorf("pods run %v, want the kept release alone", images)
	}
}

// manifest is the service as a team writes it. A busy machine makes no pod of it
// unready, and loses no request while the network learns of a pod's end.
const manifest = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {GREET: "hello"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: IMAGE
          envFrom: [{configMapRef: {name: settings}}]
          ports: [{containerPort: 3000}]
          readinessProbe: {httpGet: {path: /readyz, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`

func TestDeploy_takesFoldersAndKustomizations(t *testing.T) {
	p := newPlace(t)
	p.file("base/web.yaml", manifest)
	p.file("base/kustomization.yaml", "resources: [web.yaml]\n")
	p.file("staging/kustomization.yaml", "resources: [../base]\nreplicas: [{name: web, count: 1}]\n")
	p.deploy(p.image("1"), map[string]string{"manifests": "staging", "smoke-tests": "GET / => 200 contains \"hello\""})
	p.file("base/web.yaml", strings.ReplaceAll(manifest, `"hello"`, `"good evening"`))
	p.deploy(p.image("1"), map[string]string{"manifests": "staging", "smoke-tests": "GET / => 200 contains \"good evening\""})
}

func TestDeploy_refusesBeforeAnythingIsTouched(t *testing.T) {
	missing := "127.0.0.1:5000/e2e/web@sha256:" + strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		inputs map[string]string
		file   string
		exit   int
		say    []string
	}{
		"every wrong input at once": {
			inputs: map[string]string{"image": "", "timeout": "soon", "port": "http", "on-failure": "cry", "dry-run": "yes"},
			exit:   2, say: []string{"image", "timeout", "soon", "port", "http", "on-failure", "cry", "dry-run"},
		},
		"no such namespace": {
			inputs: map[string]string{"namespace": "nowhere"}, exit: 1, say: []string{"nowhere"},
		},
		"an image that is not there": {
			inputs: map[string]string{"image": missing}, exit: 1, say: []string{"is not in its registry"},
		},
		"manifests without the image": {
			inputs: map[string]string{"manifests": "web.yaml"}, file: strings.ReplaceAll(manifest, "IMAGE", "nginx:1"),
			exit: 1, say: []string{"nginx"},
		},
		"a manifest that is no YAML": {
			inputs: map[string]string{"manifests": "web.yaml"}, file: "kind: [\n", exit: 1, say: []string{"web.yaml"},
		},
		"an object that the API server refuses": {
			inputs: map[string]string{"manifests": "web.yaml"}, file: strings.ReplaceAll(manifest, "replicas: 2", "replicas: -2"),
			exit: 1, say: []string{"spec.replicas"},
		},
		"an unknown kind": {
			inputs: map[string]string{"manifests": "web.yaml"}, file: manifest + "---\napiVersion: acme.test/v1\nkind: Gizmo\nmetadata: {name: g}\n",
			exit: 1, say: []string{"Gizmo"},
		},
		"a manifest outside the workspace": {
			inputs: map[string]string{"manifests": "../web.yaml"}, exit: 2, say: []string{"../web.yaml"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if c.file != "" {
				p.file("web.yaml", c.file)
			}
			inputs := map[string]string{"image": p.image("1")}
			for name, value := range c.inputs {
				inputs[name] = value
			}
			o := p.run(c.exit, "deploy-staging", inputs)
			said := strings.Join(o.Errors(), "\n")
			contains(t, said, c.say...)
			if c.exit == 1 {
				outputs(t, o, map[string]string{"status": "refused"})
			}
			p.nothing(p.staging)
		})
	}
}

func TestDeploy_namesTheRightThatIsMissingAndTheRule(t *testing.T) {
	p := newPlace(t)
	p.kubeconfig = p.limited()
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1")})
	contains(t, o.Log, "no right to", "apiGroups", "deployments", "watch", "verbs")
	outputs(t, o, map[string]string{"status": "refused"})
	p.nothing(p.staging)
}

func TestDeploy_showsNoSecretThatTheServicePrinted(t *testing.T) {
	p := newPlace(t)
	const secret = "0.00000007654321s"
	_, err := p.Client.Kube.CoreV1().Secrets(p.staging).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "creds"}, StringData: map[string]string{"CRASH_AFTER": secret},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "env-from": "secret/creds"})
	contains(t, o.Log, "crashing after", "exit code 3")
	record := o.Outputs["record"] + p.history("staging", p.staging)[0].Failure
	if strings.Contains(o.Log+o.Summary+record, secret) {
		t.Errorf("the secret is shown in:\n%s\n%s\n%s", o.Log, o.Summary, record)
	}
}
