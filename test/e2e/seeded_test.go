package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// seeded is a fault that is in a release, or in the place that it goes to.
type seeded struct {
	there  string                       // objects that are in the namespace
	live   bool                         // a release is live already
	change func(string) string          // of the manifest
	inputs map[string]string            //
	make   func(t *testing.T, p *place) // what else makes the fault
	say    []string                     // the error holds them all
}

// in replaces a part of the manifest, which must be there.
func in(old, new string) func(string) string {
	return func(manifest string) string {
		if !strings.Contains(manifest, old) {
			panic(old + " is not in the manifest")
		}
		return strings.ReplaceAll(manifest, old, new)
	}
}

// pod adds a line to the pods' specification.
func pod(line string) func(string) string {
	return in("      containers:", "      "+line+"\n      containers:")
}

// container adds a line to the container.
func container(line string) func(string) string {
	return in("          image: IMAGE", "          image: IMAGE\n          "+line)
}

const quota = `apiVersion: v1
kind: ResourceQuota
metadata: {name: small}
spec: {hard: `

var faults = map[string]seeded{
	"the image is not there": {
		inputs: map[string]string{"image": "127.0.0.1:5000/e2e/web@sha256:" + strings.Repeat("0", 64)},
		say:    []string{"is not in its registry"},
	},
	"the image is for another platform": {
		make: func(t *testing.T, p *place) { foreign(t, p, false) },
		say:  []string{"web.yaml:6: Deployment web", "linux/arm64", "linux/amd64"},
	},
	"the index has no entry for the nodes": {
		make: func(t *testing.T, p *place) { foreign(t, p, true) },
		say:  []string{"linux/arm64", "linux/s390x", "linux/amd64"},
	},
	"the quota has less memory than the pods need": {
		there:  quota + `{requests.memory: 200Mi}}`,
		change: container("resources: {requests: {cpu: 10m, memory: 128Mi}}"),
		say:    []string{"web.yaml:6: Deployment web", "256Mi of requests.memory", "quota small leaves 200Mi"},
	},
	"the quota has room for fewer pods": {
		there: quota + `{pods: "1"}}`,
		say:   []string{"2 of pods", "quota small leaves 1"},
	},
	"the quota wants limits that no container has": {
		there:  quota + `{limits.cpu: "4"}}`,
		say:    []string{"quota small", "container web has no limits.cpu"},
		change: container("resources: {requests: {cpu: 10m}}"),
	},
	"the limit range allows less": {
		there:  `{apiVersion: v1, kind: LimitRange, metadata: {name: range}, spec: {limits: [{type: Container, max: {memory: 64Mi}}]}}`,
		change: container("resources: {limits: {memory: 128Mi}}"),
		say:    []string{"LimitRange range", "container web", "limited to 128Mi of memory, at most 64Mi"},
	},
	"the limit range wants more": {
		there:  `{apiVersion: v1, kind: LimitRange, metadata: {name: range}, spec: {limits: [{type: Container, min: {cpu: 100m}}]}}`,
		change: container("resources: {requests: {cpu: 10m}}"),
		say:    []string{"LimitRange range", "requests 10m of cpu, at least 100m"},
	},
	"a Secret is missing": {
		change: in("envFrom: [", "envFrom: [{secretRef: {name: keys}}, "),
		say:    []string{"web.yaml:6: Deployment web", "envFrom of container web wants Secret keys"},
	},
	"a key of a ConfigMap is missing": {
		change: container("env: [{name: URL, valueFrom: {configMapKeyRef: {name: settings, key: url}}}]"),
		say:    []string{"env URL of container web wants the key url of ConfigMap settings"},
	},
	"a volume claim is missing": {
		change: pod("volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]"),
		say:    []string{"volume data wants PersistentVolumeClaim data"},
	},
	"the service account is missing": {
		change: pod("serviceAccountName: robot"),
		say:    []string{"serviceAccountName wants ServiceAccount robot"},
	},
	"the priority class is missing": {
		change: pod("priorityClassName: urgent"),
		say:    []string{"priorityClassName wants PriorityClass urgent"},
	},
	"a value that is not allowed": {
		change: in("replicas: 2", "replicas: -2"),
		say:    []string{"web.yaml:6: ", "spec.replicas", "must be greater than or equal to 0"},
	},
	"a field that is not known": {
		change: container("imagePullPolice: Always"),
		say:    []string{"web.yaml:6: ", ".imagePullPolice", "field not declared in schema"},
	},
	"a kind that is not known": {
		change: func(m string) string { return m + "---\napiVersion: acme.test/v1\nkind: Gizmo\nmetadata: {name: g}\n" },
		say:    []string{"web.yaml:30: Gizmo g", "does not know the kind"},
	},
	"an object of 1.6 MB": {
		change: in(`{GREET: "hello"}`, "{GREET: "+strings.Repeat("x", 1_600_000)+"}"),
		say:    []string{"web.yaml:1: ", "ConfigMap settings", "more than a cluster stores"},
	},
	"a field that cannot be changed": {
		live:   true,
		change: in("app: web}", "app: api}"),
		say:    []string{"web.yaml:6: ", "Deployment web", "spec.selector cannot be changed in place", "fibership.dev/recreate"},
	},
	"a field that somebody else holds": {
		live: true,
		make: func(t *testing.T, p *place) {
			patch := []byte(`{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":7}}}}`)
			if _, err := p.Client.Kube.AppsV1().Deployments(p.staging).Patch(t.Context(), "web", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
				t.Fatal(err)
			}
		},
		change: pod("terminationGracePeriodSeconds: 9"),
		say:    []string{"web.yaml:6: ", "somebody holds .spec.template.spec.terminationGracePeriodSeconds"},
	},
	"a policy that refuses": {
		make: func(t *testing.T, p *place) {
			p.policy(t, "deployments", "object.spec.replicas > 2", "three replicas or more, says the platform team")
		},
		say: []string{"web.yaml:6: ", "policy", "three replicas or more, says the platform team"},
	},
	"a policy that refuses the pods": {
		make: func(t *testing.T, p *place) {
			patch := []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`)
			if _, err := p.Client.Kube.CoreV1().Namespaces().Patch(t.Context(), p.staging, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		say: []string{"web.yaml:6: Deployment web: its pods are refused by pod security", "restricted"},
	},
	"a right that is missing": {
		make: func(_ *testing.T, p *place) { p.kubeconfig = p.limited() },
		say:  []string{"no right to", "deployments"},
	},
	"a namespace that is being deleted": {
		there: `{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/held]}}`,
		make: func(t *testing.T, p *place) {
			if err := p.Client.Kube.CoreV1().Namespaces().Delete(t.Context(), p.staging, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			// What goes with the namespace is gone before we look.
			testcluster.Eventually(t, 3*time.Minute, "the namespace to be empty but for what is held", func(ctx context.Context) bool {
				return len(p.written(ctx, t)) == 1
			})
			t.Cleanup(func() {
				ctx := context.WithoutCancel(t.Context())
				if _, err := p.Client.Kube.CoreV1().ConfigMaps(p.staging).Patch(ctx, "held", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
					t.Error(err)
				}
			})
		},
		say: []string{"is being deleted"},
	},
}

// Every fault is refused, by name, before anything is written.
func TestDeploy_refusesSeededFaults(t *testing.T) {
	if len(faults) < 15 {
		t.Fatalf("only %d faults", len(faults))
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.file("web.yaml", manifest)
			inputs := map[string]string{"image": p.image("1"), "manifests": "web.yaml"}
			if fault.live {
				p.run(0, "deploy-staging", inputs)
			}
			if fault.there != "" {
				u := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(fault.there), &u.Object); err != nil {
					t.Fatal(err)
				}
				u.SetNamespace(p.staging)
				if _, err := p.Client.Apply(t.Context(), u, cluster.ApplyOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if fault.change != nil {
				p.file("web.yaml", fault.change(manifest))
			}
			if fault.make != nil {
				fault.make(t, p)
			}
			for name, value := range fault.inputs {
				inputs[name] = value
			}
			if image := p.foreign; image != "" {
				inputs["image"] = image
			}
			before := p.written(t.Context(), t)
			o := p.run(1, "deploy-staging", inputs)
			outputs(t, o, map[string]string{"status": "refused"})
			contains(t, strings.Join(o.Errors(), "\n"), fault.say...)
			if after := p.written(t.Context(), t); !slices.Equal(before, after) {
				t.Errorf("something was written: before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
		})
	}
}

// written is all that a deploy could write into a namespace, but for the lock,
// as it is now.
func (p *place) written(ctx context.Context, t *testing.T) (all []string) {
	t.Helper()
	var kinds []schema.GroupVersionKind
	for group, names := range map[schema.GroupVersion][]string{
		{Version: "v1"}:                                     {"ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim"},
		{Group: "apps", Version: "v1"}:                      {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"},
		{Group: "batch", Version: "v1"}:                     {"Job", "CronJob"},
		{Group: "policy", Version: "v1"}:                    {"PodDisruptionBudget"},
		{Group: "autoscaling", Version: "v2"}:               {"HorizontalPodAutoscaler"},
		{Group: "networking.k8s.io", Version: "v1"}:         {"Ingress", "NetworkPolicy"},
		{Group: "rbac.authorization.k8s.io", Version: "v1"}: {"Role", "RoleBinding"},
	} {
		for _, name := range names {
			kinds = append(kinds, group.WithKind(name))
		}
	}
	live, err := p.Client.Live(ctx, p.staging, nil, kinds)
	if err != nil {
		t.Fatal(err)
	}
	for key, u := range live {
		if u.GetName() == "kube-root-ca.crt" { // the cluster's own, made a moment after the namespace
			continue
		}
		all = append(all, key+" "+string(u.GetUID())+" "+cluster.Seen(u))
	}
	slices.Sort(all)
	return all
}

// foreign makes the release's image one that no node runs.
func foreign(t *testing.T, p *place, several bool) {
	t.Helper()
	repository, err := ggcr.NewRepository(p.Registry+"/e2e/foreign", ggcr.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	var made []v1.Image
	for _, arch := range []string{"arm64", "s390x"} {
		img, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		made = append(made, img)
	}
	var digest v1.Hash
	if several {
		index := mutate.AppendManifests(empty.Index,
			mutate.IndexAddendum{Add: made[0], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
			mutate.IndexAddendum{Add: made[1], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
		if err = remote.WriteIndex(repository.Tag("index"), index, remote.WithContext(t.Context())); err == nil {
			digest, err = index.Digest()
		}
	} else {
		if err = remote.Write(repository.Tag("one"), made[0], remote.WithContext(t.Context())); err == nil {
			digest, err = made[0].Digest()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	p.foreign = repository.Digest(digest.String()).String()
}

// policy makes the cluster refuse what breaks the rule, in the place's namespace.
func (p *place) policy(t *testing.T, resource, rule, message string) {
	t.Helper()
	name := p.staging
	for _, text := range []string{`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: ` + name + `}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: [CREATE, UPDATE], resources: [` + resource + `]}]
  validations: [{expression: "` + rule + `", message: "` + message + `"}]
`, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: ` + name + `}
spec:
  policyName: ` + name + `
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + name + `}}}
`} {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Client.Apply(t.Context(), u, cluster.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Client.Delete(context.WithoutCancel(t.Context()), release.Describe(u), false); err != nil {
				t.Error(err)
			}
		})
	}
	// The API server learns of a policy from a watch.
	testcluster.Eventually(t, 20e9, "the policy to be in force", func(ctx context.Context) bool {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(probe), &u.Object); err != nil {
			t.Fatal(err)
		}
		u.SetNamespace(p.staging)
		_, err := p.Client.Apply(ctx, u, cluster.ApplyOptions{DryRun: true})
		return err != nil
	})
}

// probe is a Deployment that the policies of these tests refuse.
const probe = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe}
spec:
  replicas: 1
  selector: {matchLabels: {app: probe}}
  template: {metadata: {labels: {app: probe}}, spec: {containers: [{name: probe, image: probe}]}}
`
