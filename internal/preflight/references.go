package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// mostLooked bounds how many objects are looked up.
const mostLooked = 20

// target is an object that pods cannot do without.
type target struct{ version, kind, name string }

func (t target) String() string { return t.kind + " " + t.name }

// reference is one place that names a target.
type reference struct {
	target
	key   string // of its data; empty: the object alone
	owner *unstructured.Unstructured
	where string
	soft  bool // pods may run without it
}

// references refuses what pods refer to and what is neither in the release nor
// in the namespace.
func references(ctx context.Context, c *cluster.Client, r Release, groups []pods) (Result, error) {
	var result Result
	var all []reference
	for _, g := range groups {
		all = append(all, referencesOf(g)...)
	}
	brought := map[target]*unstructured.Unstructured{}
	for _, u := range r.Objects {
		if u.GetNamespace() == r.Namespace || u.GetNamespace() == "" {
			brought[target{u.GetAPIVersion(), u.GetKind(), u.GetName()}] = u
		}
	}
	var abroad []target
	for _, ref := range all {
		if brought[ref.target] == nil && !slices.Contains(abroad, ref.target) && !made(r.Objects, ref.name) {
			abroad = append(abroad, ref.target)
		}
	}
	if len(abroad) > mostLooked {
		result.Skipped = append(result.Skipped, fmt.Sprintf("whether %d of the %d objects that pods refer to are there", len(abroad)-mostLooked, len(abroad)))
		abroad = abroad[:mostLooked]
	}
	found, err := look(ctx, c, r.Namespace, abroad, &result)
	if err != nil {
		return result, err
	}
	for _, ref := range all {
		there, looked := found[ref.target]
		if u := brought[ref.target]; u != nil {
			there, looked = u, true
		}
		problem := ""
		switch {
		case !looked:
			continue
		case there == nil:
			problem = fmt.Sprintf("%s wants %s, which is neither in the release nor in the cluster", ref.where, ref.target)
		case ref.key != "" && !holds(there, ref.key):
			problem = fmt.Sprintf("%s wants the key %s of %s, which has no such key", ref.where, ref.key, ref.target)
		default:
			continue
		}
		if ref.soft {
			result.warn(ref.owner, "%s", problem)
		} else {
			result.fatal(ref.owner, "%s", problem)
		}
	}
	return result, nil
}

// look gives the targets as they are in the cluster, nil those that are not
// there, and leaves out what we may not see.
func look(ctx context.Context, c *cluster.Client, namespace string, targets []target, result *Result) (map[target]*unstructured.Unstructured, error) {
	var mu sync.Mutex
	found := map[target]*unstructured.Unstructured{}
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range targets {
		group.Go(func() error {
			o := release.Object{APIVersion: t.version, Kind: t.kind, Namespace: namespace, Name: t.name}
			u, err := c.Get(ctx, o)
			mu.Lock()
			defer mu.Unlock()
			result.Requests++
			if err != nil {
				return result.unseen("whether "+t.String()+" is there", err)
			}
			found[t] = u
			return nil
		})
	}
	err := group.Wait()
	slices.Sort(result.Skipped)
	return found, err
}

// made says whether an object of a kind that is none of Kubernetes' own speaks
// of the name: an operator may make of it what pods refer to.
func made(objects []*unstructured.Unstructured, name string) bool {
	for _, u := range objects {
		group := u.GroupVersionKind().Group
		if strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") && speaksOf(u.Object, name) {
			return true
		}
	}
	return false
}

func speaksOf(value any, name string) bool {
	switch value := value.(type) {
	case string:
		return value == name
	case map[string]any:
		for _, v := range value {
			if speaksOf(v, name) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, func(v any) bool { return speaksOf(v, name) })
	}
	return false
}

func holds(u *unstructured.Unstructured, key string) bool {
	for _, field := range []string{"data", "binaryData", "stringData"} {
		if m, ok := u.Object[field].(map[string]any); ok {
			if _, ok := m[key]; ok {
				return true
			}
		}
	}
	return false
}

// referencesOf is what pods refer to and cannot do without.
func referencesOf(g pods) (all []reference) {
	add := func(where, version, kind, name, key string, optional *bool) {
		if name != "" && (optional == nil || !*optional) {
			all = append(all, reference{target: target{version, kind, name}, key: key, owner: g.owner, where: where})
		}
	}
	spec := g.spec
	if spec.ServiceAccountName != "default" {
		add("serviceAccountName", "v1", "ServiceAccount", spec.ServiceAccountName, "", nil)
	}
	if !strings.HasPrefix(spec.PriorityClassName, "system-") {
		add("priorityClassName", "scheduling.k8s.io/v1", "PriorityClass", spec.PriorityClassName, "", nil)
	}
	if spec.RuntimeClassName != nil {
		add("runtimeClassName", "node.k8s.io/v1", "RuntimeClass", *spec.RuntimeClassName, "", nil)
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, from := range c.EnvFrom {
			where := "envFrom of container " + c.Name
			if from.SecretRef != nil {
				add(where, "v1", "Secret", from.SecretRef.Name, "", from.SecretRef.Optional)
			}
			if from.ConfigMapRef != nil {
				add(where, "v1", "ConfigMap", from.ConfigMapRef.Name, "", from.ConfigMapRef.Optional)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom == nil {
				continue
			}
			where := "env " + env.Name + " of container " + c.Name
			if ref := env.ValueFrom.SecretKeyRef; ref != nil {
				add(where, "v1", "Secret", ref.Name, ref.Key, ref.Optional)
			}
			if ref := env.ValueFrom.ConfigMapKeyRef; ref != nil {
				add(where, "v1", "ConfigMap", ref.Name, ref.Key, ref.Optional)
			}
		}
	}
	for _, v := range spec.Volumes {
		volume(v, add)
	}
	for _, secret := range spec.ImagePullSecrets {
		if secret.Name != "" { // the kubelet goes on without one, and an open registry needs none
			all = append(all, reference{target: target{"v1", "Secret", secret.Name}, owner: g.owner, where: "imagePullSecrets", soft: true})
		}
	}
	return all
}

func volume(v corev1.Volume, add func(where, version, kind, name, key string, optional *bool)) {
	where := "volume " + v.Name
	secret := func(name string, items []corev1.KeyToPath, optional *bool) {
		add(where, "v1", "Secret", name, "", optional)
		for _, item := range items {
			add(where, "v1", "Secret", name, item.Key, optional)
		}
	}
	configMap := func(name string, items []corev1.KeyToPath, optional *bool) {
		add(where, "v1", "ConfigMap", name, "", optional)
		for _, item := range items {
			add(where, "v1", "ConfigMap", name, item.Key, optional)
		}
	}
	if s := v.Secret; s != nil {
		secret(s.SecretName, s.Items, s.Optional)
	}
	if m := v.ConfigMap; m != nil {
		configMap(m.Name, m.Items, m.Optional)
	}
	if claim := v.PersistentVolumeClaim; claim != nil {
		add(where, "v1", "PersistentVolumeClaim", claim.ClaimName, "", nil)
	}
	if v.Projected == nil {
		return
	}
	for _, source := range v.Projected.Sources {
		if s := source.Secret; s != nil {
			secret(s.Name, s.Items, s.Optional)
		}
		if m := source.ConfigMap; m != nil {
			configMap(m.Name, m.Items, m.Optional)
		}
	}
}
