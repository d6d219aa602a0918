package preflight

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func decode[T any](t *testing.T, text string) *T {
	t.Helper()
	value := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), value); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return value
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	u := &unstructured.Unstructured{}
	if err == nil {
		err = u.UnmarshalJSON(raw) // whole numbers as such
	}
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return u
}

// web is a Deployment of two pods; CONTAINER and POD are filled in.
func web(t *testing.T, replicas, container, pod string) *unstructured.Unstructured {
	t.Helper()
	return object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: here}, spec: {`+replicas+
		`selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {`+pod+`containers: [{name: web, image: web`+container+`}]}}}}`)
}

const sized = `, resources: {requests: {memory: 100Mi, cpu: 100m}, limits: {memory: 200Mi}}`

func TestQuota_refusesOnlyWhatSurelyHasNoRoom(t *testing.T) {
	t.Parallel()
	old := func(labels string) corev1.Pod {
		return *decode[corev1.Pod](t, `{metadata: {labels: {`+labels+`}}, spec: {containers: [{name: c, resources: {requests: {memory: 100Mi, cpu: 100m}}}]}}`)
	}
	live := web(t, "replicas: 2, ", "", "")
	for name, c := range map[string]struct {
		quota    string
		web      *unstructured.Unstructured
		there    []corev1.Pod
		replaced bool
		fatal    string // what the refusal holds; empty: none
		warn     string
	}{
		"room":                           {quota: `hard: {requests.memory: 1Gi}`, web: web(t, "replicas: 2, ", sized, "")},
		"none for the steady state":      {quota: `hard: {requests.memory: 150Mi}`, web: web(t, "replicas: 2, ", sized, ""), fatal: "200Mi of requests.memory, and of its 150Mi the quota q leaves 150Mi"},
		"the plain name":                 {quota: `hard: {memory: 150Mi}`, web: web(t, "replicas: 2, ", sized, ""), fatal: "200Mi of memory"},
		"limits":                         {quota: `hard: {limits.memory: 300Mi}`, web: web(t, "replicas: 2, ", sized, ""), fatal: "400Mi of limits.memory"},
		"pods":                           {quota: `hard: {pods: "1"}`, web: web(t, "replicas: 2, ", sized, ""), fatal: "2 of pods"},
		"one replica where none is said": {quota: `hard: {pods: "1"}`, web: web(t, "", sized, ""), warn: "one pod more"},
		"what others hold":               {quota: `hard: {requests.memory: 250Mi}`, web: web(t, "replicas: 2, ", sized, ""), there: []corev1.Pod{old("app: other")}, fatal: "leaves 150Mi"},
		"what the old pods hold":         {quota: `hard: {requests.memory: 300Mi}`, web: web(t, "replicas: 2, ", sized, ""), there: []corev1.Pod{old("app: web"), old("app: web")}, replaced: true},
		"what has ended":                 {quota: `hard: {requests.memory: 300Mi}`, web: web(t, "replicas: 2, ", sized, ""), there: []corev1.Pod{ended(old("app: job")), ended(old("app: job"))}},
		"no room for a surge":            {quota: `hard: {requests.memory: 250Mi}`, web: web(t, "replicas: 2, ", sized, ""), warn: "one pod more than its 2"},
		"recreated, no surge":            {quota: `hard: {requests.memory: 250Mi}`, web: web(t, "strategy: {type: Recreate}, replicas: 2, ", sized, "")},
		"of another scope":               {quota: `hard: {pods: "1"}, scopes: [BestEffort]`, web: web(t, "replicas: 2, ", sized, "")},
		"of its scope":                   {quota: `hard: {pods: "1"}, scopes: [NotBestEffort]`, web: web(t, "replicas: 2, ", sized, ""), fatal: "2 of pods"},
		"of a scope that cannot be told": {quota: `hard: {pods: "1"}, scopes: [PriorityClass]`, web: web(t, "replicas: 2, ", sized, "")},
		"nothing said":                   {quota: `hard: {requests.cpu: "1"}`, web: web(t, "replicas: 2, ", "", ""), fatal: "container web has no requests.cpu"},
		"scaled to none":                 {quota: `hard: {pods: "0"}`, web: web(t, "replicas: 0, ", sized, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := decode[corev1.ResourceQuota](t, `{metadata: {name: q}, spec: {`+c.quota+`}}`)
			r := Release{Namespace: "here", Objects: []*unstructured.Unstructured{c.web}}
			if c.replaced {
				r.Replaced = append(r.Replaced, live)
			}
			var result Result
			judge(&result, *q, podsOf(r), staying(c.there, r.Replaced))
			tells(t, result, c.fatal, c.warn)
		})
	}
}

func ended(p corev1.Pod) corev1.Pod {
	p.Status.Phase = corev1.PodSucceeded
	return p
}

// tells wants one finding of a sort that holds the words, or none.
func tells(t *testing.T, result Result, fatal, warn string) {
	t.Helper()
	var fatals, warnings []string
	for _, f := range result.Findings {
		if f.Fatal {
			fatals = append(fatals, f.Text)
		} else {
			warnings = append(warnings, f.Text)
		}
	}
	for words, found := range map[string][]string{fatal: fatals, warn: warnings} {
		if words != "" && (len(found) != 1 || !strings.Contains(found[0], words)) {
			t.Errorf("%q, want one with %q", found, words)
		}
	}
	if fatal == "" && len(fatals) > 0 || warn == "" && len(warnings) > 0 {
		t.Errorf("refused for %q, warned of %q", fatals, warnings)
	}
}

func TestLimit_judgesWhatIsAdmittedWithDefaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ limits, container, say string }{
		"within":                       {`{type: Container, max: {memory: 200Mi}, min: {memory: 50Mi}}`, sized, ""},
		"limited by default":           {`{type: Container, max: {memory: 200Mi}, default: {memory: 100Mi}}`, "", ""},
		"a default that is too much":   {`{type: Container, max: {memory: 200Mi}, default: {memory: 1Gi}}`, "", "limited to 1Gi of memory, at most 200Mi"},
		"a request that follows":       {`{type: Container, min: {cpu: 100m}}`, ", resources: {limits: {cpu: 200m}}", ""},
		"no limit where one must be":   {`{type: Container, max: {cpu: "1"}}`, sized, "has no limit of cpu"},
		"no request where one must be": {`{type: Container, min: {cpu: "1"}}`, "", "requests no cpu"},
		"a ratio":                      {`{type: Container, maxLimitRequestRatio: {memory: "2"}}`, sized, ""},
		"a ratio that is too large":    {`{type: Container, maxLimitRequestRatio: {memory: "1"}}`, sized, "the ratio is at most 1"},
		"a pod":                        {`{type: Pod, max: {memory: 150Mi}}`, sized, "a pod is limited to 200Mi"},
	} {
		ranges := []corev1.LimitRange{*decode[corev1.LimitRange](t, `{metadata: {name: r}, spec: {limits: [`+c.limits+`]}}`)}
		g := podsOf(Release{Namespace: "here", Objects: []*unstructured.Unstructured{web(t, "", c.container, "")}})[0]
		problems := limit(ranges, defaulted(g.spec, ranges))
		if c.say == "" && len(problems) > 0 || c.say != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.say)) {
			t.Errorf("%s: %q, want %q", name, problems, c.say)
		}
	}
}

func TestSplit_looksAtTheNodesThatThePodChooses(t *testing.T) {
	t.Parallel()
	node := func(arch string) corev1.Node {
		return *decode[corev1.Node](t, `{metadata: {labels: {kubernetes.io/os: linux, kubernetes.io/arch: `+arch+`}}}`)
	}
	nodes := []corev1.Node{node("amd64"), node("arm64"), node("arm64"), {}}
	amd := []v1.Platform{{OS: "linux", Architecture: "amd64"}}
	for name, c := range map[string]struct{ pod, fit, unfit string }{
		"any node":           {"", "linux/amd64", "linux/arm64"},
		"by label":           {"nodeSelector: {kubernetes.io/arch: amd64}, ", "linux/amd64", ""},
		"the wrong one":      {"nodeSelector: {kubernetes.io/arch: arm64}, ", "", "linux/arm64"},
		"by affinity":        {"affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/arch, operator: NotIn, values: [arm64]}]}]}}}, ", "linux/amd64", ""},
		"none that is there": {"nodeSelector: {disk: fast}, ", "", ""},
	} {
		g := podsOf(Release{Namespace: "here", Objects: []*unstructured.Unstructured{web(t, "", "", c.pod)}})[0]
		fit, unfit := split(nodes, g.spec, amd)
		if strings.Join(fit, ",") != c.fit || strings.Join(unfit, ",") != c.unfit {
			t.Errorf("%s: fit %v, unfit %v", name, fit, unfit)
		}
	}
}

func TestReferences_areWhatPodsCannotDoWithout(t *testing.T) {
	t.Parallel()
	u := web(t, "", `, envFrom: [{secretRef: {name: a}}, {configMapRef: {name: b, optional: true}}], env: [{name: C, valueFrom: {secretKeyRef: {name: c, key: k}}}]`,
		`serviceAccountName: d, imagePullSecrets: [{name: e}], priorityClassName: system-node-critical, volumes: [{name: f, projected: {sources: [{configMap: {name: g, items: [{key: h, path: p}]}}]}}, {name: i, persistentVolumeClaim: {claimName: j}}], `)
	var got []string
	for _, ref := range referencesOf(podsOf(Release{Namespace: "here", Objects: []*unstructured.Unstructured{u}})[0]) {
		words := ref.String()
		if ref.key != "" {
			words += "." + ref.key
		}
		if ref.soft {
			words += "?"
		}
		got = append(got, words)
	}
	want := "ServiceAccount d, Secret a, Secret c.k, ConfigMap g, ConfigMap g.h, PersistentVolumeClaim j, Secret e?"
	if strings.Join(got, ", ") != want {
		t.Errorf("%q, want %q", strings.Join(got, ", "), want)
	}
}

func TestMade_knowsWhatAnOperatorMayMake(t *testing.T) {
	t.Parallel()
	external := object(t, `{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: x}, spec: {target: {name: keys}}}`)
	own := object(t, `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x}, spec: {tls: [{secretName: keys}]}}`)
	if !made([]*unstructured.Unstructured{external}, "keys") || made([]*unstructured.Unstructured{external}, "other") || made([]*unstructured.Unstructured{own}, "keys") {
		t.Error("what an operator may make of a custom object is not told apart")
	}
}
