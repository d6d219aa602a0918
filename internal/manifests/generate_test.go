package manifests

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/fibership/fibership/internal/flags"
)

func orders() Service {
	return Service{
		Name: "orders", Namespace: "staging", Image: "ghcr.io/acme/orders" + digest, Port: 3000, Replicas: 2,
		Env:        []Variable{{"LEVEL", "debug"}, {"EMPTY", ""}, {"URL", "https://a/?b=c"}},
		EnvFrom:    []Source{{"secret", "db"}, {"configmap", "settings"}},
		PullSecret: "pull", ReadinessPath: "/readyz", LivenessPath: "/livez", CPU: "100m", Memory: "128Mi",
		Host: "orders.example", Gateway: GatewayName{"infra", "public"},
	}
}

func TestGenerate_losesNoRequestAndHasNoPrivilege(t *testing.T) {
	objs, err := Generate(orders())
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range objs {
		kinds = append(kinds, o.GetKind())
		if err := check(o); err != nil {
			t.Error(err)
		}
		if o.GetNamespace() != "staging" {
			t.Errorf("%s is in %q", o.title(), o.GetNamespace())
		}
	}
	if got := strings.Join(kinds, " "); got != "Service PodDisruptionBudget Deployment HTTPRoute" {
		t.Fatalf("kinds %s", got)
	}
	if notes := Lint(objs); len(notes) > 0 {
		t.Errorf("the lint finds %v", notes)
	}
	d, ok := typed[appsv1.Deployment](objs[2])
	if !ok {
		t.Fatal("the Deployment does not decode")
	}
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser != 65532 || *pod.AutomountServiceAccountToken ||
		!*c.SecurityContext.ReadOnlyRootFilesystem || c.SecurityContext.Capabilities.Drop[0] != "ALL" || pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("security %+v, %+v", pod.SecurityContext, c.SecurityContext)
	}
	if sleep := c.Lifecycle.PreStop.Sleep.Seconds; sleep >= *pod.TerminationGracePeriodSeconds || sleep < 1 {
		t.Errorf("preStop %d s of %d s", sleep, *pod.TerminationGracePeriodSeconds)
	}
	var env []string
	for _, e := range c.Env {
		env = append(env, e.Name+"="+e.Value)
	}
	if got := strings.Join(env, " "); got != "PORT=3000 LEVEL=debug EMPTY= URL=https://a/?b=c" {
		t.Errorf("env %s", got)
	}
	if c.EnvFrom[0].SecretRef.Name != "db" || c.EnvFrom[1].ConfigMapRef.Name != "settings" || pod.ImagePullSecrets[0].Name != "pull" {
		t.Errorf("env from %+v, pull secrets %v", c.EnvFrom, pod.ImagePullSecrets)
	}
}

func TestGenerate_refusesANameThatNoServiceMayHave(t *testing.T) {
	for _, name := range []string{"Orders", "7up", ""} {
		s := orders()
		s.Name = name
		if _, err := Generate(s); err == nil || !strings.Contains(err.Error(), "service \""+name+"\"") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

const served = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 30
      containers:
      - name: web
        image: IMAGE
        readinessProbe: {httpGet: {path: /, port: 80}}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, maxUnavailable: 1}
`

func TestLint_namesWhatCostsRequests(t *testing.T) {
	for _, test := range []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"no readiness", "readinessProbe", "livenessProbe", "f.yaml:1 Deployment web: no container has a readinessProbe"},
		{"no preStop", "preStop", "postStart", "f.yaml:1 Deployment web: no container has a preStop"},
		{"a preStop as long as the grace", "seconds: 5", "seconds: 30", "f.yaml:1 Deployment web: the preStop sleep of container web takes 30 s"},
		{"all at once", "maxUnavailable: 0", "maxUnavailable: 100%", "f.yaml:1 Deployment web: maxUnavailable 100% lets all 2 pods"},
		{"recreate", "{rollingUpdate: {maxUnavailable: 0}}", "{type: Recreate}", "f.yaml:1 Deployment web: the strategy Recreate"},
		{"one replica", "replicas: 2", "replicas: 1", "f.yaml:1 Deployment web: one replica"},
		{"replicas left out", "replicas: 2", "revisionHistoryLimit: 2", "f.yaml:1 Deployment web: one replica"},
		{"a budget of none", "maxUnavailable: 1", "maxUnavailable: 0", "f.yaml:23 PodDisruptionBudget web: it lets none of the 2 pods"},
		{"a budget that needs all", "maxUnavailable: 1", "minAvailable: 2", "f.yaml:23 PodDisruptionBudget web: it lets none of the 2 pods"},
		{"a budget that needs all in percent", "maxUnavailable: 1", "minAvailable: 51%", "f.yaml:23 PodDisruptionBudget web: it lets none of the 2 pods"},
		{"a budget for others", "matchLabels: {app: web}}, maxUnavailable: 1", "matchLabels: {app: api}}, maxUnavailable: 0", ""},
		{"a worker that serves nothing", "kind: Service", "kind: Other", ""},
	} {
		var got []string
		for _, note := range Lint(decode(t, strings.Replace(served, test.old, test.new, 1))) {
			got = append(got, Object{File: note.File, Line: note.Line}.Place()+" "+note.Message)
		}
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.want)) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLint_countsTheReplicasOfAnAutoscaler(t *testing.T) {
	scaler := `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {kind: Deployment, name: web}, minReplicas: 3, maxReplicas: 9}
`
	if notes := Lint(decode(t, strings.Replace(served, "replicas: 2", "paused: false", 1)+scaler)); len(notes) > 0 {
		t.Errorf("notes %v", notes)
	}
}

func TestGenerate_mountsTheFlagsWhereTheProvidersLook(t *testing.T) {
	t.Parallel()
	s := orders()
	s.Flags = true
	s.Env = append(s.Env, Variable{"FLAGD_RESOLVER", "rpc"})
	objs, err := Generate(s)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := typed[appsv1.Deployment](objs[2])
	if !ok {
		t.Fatal("the Deployment does not decode")
	}
	pod := d.Spec.Template.Spec
	path := ""
	for _, mount := range pod.Containers[0].VolumeMounts {
		for _, volume := range pod.Volumes {
			if volume.Name == mount.Name && volume.ConfigMap != nil && volume.ConfigMap.Name == "orders-flags" && mount.ReadOnly && mount.SubPath == "" {
				path = mount.MountPath
			}
		}
	}
	env := map[string]string{}
	for _, variable := range pod.Containers[0].Env {
		if _, twice := env[variable.Name]; twice {
			t.Errorf("%s is there twice", variable.Name)
		}
		env[variable.Name] = variable.Value
	}
	if path != "/etc/flags" || env["FLAGD_OFFLINE_FLAG_SOURCE_PATH"] != "/etc/flags/flags.json" || env["FLAGD_RESOLVER"] != "rpc" {
		t.Errorf("mounted at %q, env %v", path, env)
	}
}

func TestLintFlags_warnsWhereNobodyFollowsThem(t *testing.T) {
	t.Parallel()
	file, err := flags.Parse("flags.json", []byte(`{"flags": {"a": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	s := orders()
	without, err := Generate(s)
	if err != nil {
		t.Fatal(err)
	}
	if notes := LintFlags(without, "orders"); len(notes) != 1 || !strings.Contains(notes[0].Message, "nobody reads the flags") {
		t.Errorf("without a mount: %v", notes)
	}
	s.Flags = true
	mounted, err := Generate(s)
	if err == nil {
		mounted, err = WithFlags(mounted, "orders", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	if notes := LintFlags(mounted, "orders"); len(notes) > 0 {
		t.Errorf("mounted: %v", notes)
	}
	spec, _ := podSpec(mounted[2].Unstructured)
	for _, c := range containers(spec) {
		for _, mount := range entriesOf(c["volumeMounts"]) {
			mount["subPath"] = "flags.json"
		}
	}
	if notes := LintFlags(mounted, "orders"); len(notes) != 1 || !strings.Contains(notes[0].Message, "subPath") {
		t.Errorf("by a subPath: %v", notes)
	}
	Version(mounted)
	if name := mounted[len(mounted)-1].GetName(); name != "orders-flags" {
		t.Errorf("the ConfigMap is called %s", name)
	}
	if _, err := WithFlags(mounted, "orders", file); err == nil {
		t.Error("a second ConfigMap of that name was taken")
	}
}
