package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/release"
)

// KeepName is the annotation that keeps a ConfigMap's or Secret's name.
const KeepName = "fibership.dev/keep-name"

const maxName = 253

// Version gives the ConfigMaps and Secrets of the set that its pod templates
// use names that end with a hash of their content, and changes the references
// in the templates. A changed value thus starts new pods, and old pods keep
// the values that they started with. They are labelled as versioned, so that
// they stay as long as a release that can be restored needs them. Doing it
// twice changes nothing.
//
// A name stays where the annotation KeepName says so, and where an object of
// the set that is no workload refers to it (an Ingress's certificate, a Role).
// Call it after Place: objects belong together within a namespace.
func Version(objs []Object) {
	used := map[source]bool{}
	for _, o := range objs {
		if spec, ok := podSpec(o.Unstructured); ok {
			for _, ref := range configuration(spec) {
				used[source{ref.kind, o.GetNamespace(), ref.name()}] = true
			}
		}
	}
	held := heldNames(objs)
	renamed := map[source]string{}
	for _, o := range objs {
		kind := o.GetKind()
		id := source{kind, o.GetNamespace(), o.GetName()}
		if (kind != "ConfigMap" && kind != "Secret") || o.GetAPIVersion() != "v1" || !used[id] || held[id] ||
			o.GetAnnotations()[KeepName] == "true" || o.Object["type"] == "kubernetes.io/service-account-token" {
			continue
		}
		suffix := "-" + contentHash(o.Unstructured)
		if strings.HasSuffix(id.name, suffix) {
			continue
		}
		name := strings.TrimRight(id.name[:min(len(id.name), maxName-len(suffix))], "-.") + suffix
		renamed[id] = name
		o.SetName(name)
		labels := o.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[release.VersionedLabel] = "true"
		o.SetLabels(labels)
	}
	for _, o := range objs {
		if spec, ok := podSpec(o.Unstructured); ok {
			for _, ref := range configuration(spec) {
				if name, ok := renamed[source{ref.kind, o.GetNamespace(), ref.name()}]; ok {
					ref.in[ref.field] = name
				}
			}
		}
	}
}

type source struct{ kind, namespace, name string }

// reference is a field that names a ConfigMap or Secret.
type reference struct {
	kind  string
	in    map[string]any
	field string
}

func (r reference) name() string {
	name, _ := r.in[r.field].(string)
	return name
}

// configuration is every reference of a pod's spec to ConfigMaps and Secrets.
func configuration(spec map[string]any) []reference {
	var refs []reference
	add := func(kind string, in map[string]any, at, field string) {
		if inner, ok := in[at].(map[string]any); ok {
			refs = append(refs, reference{kind, inner, field})
		}
	}
	for _, volume := range entriesOf(spec["volumes"]) {
		add("ConfigMap", volume, "configMap", "name")
		add("Secret", volume, "secret", "secretName")
		projected, _ := volume["projected"].(map[string]any)
		for _, part := range entriesOf(projected["sources"]) {
			add("ConfigMap", part, "configMap", "name")
			add("Secret", part, "secret", "name")
		}
	}
	for _, secret := range entriesOf(spec["imagePullSecrets"]) {
		refs = append(refs, reference{"Secret", secret, "name"})
	}
	for _, c := range containers(spec) {
		for _, from := range entriesOf(c["envFrom"]) {
			add("ConfigMap", from, "configMapRef", "name")
			add("Secret", from, "secretRef", "name")
		}
		for _, variable := range entriesOf(c["env"]) {
			if value, ok := variable["valueFrom"].(map[string]any); ok {
				add("ConfigMap", value, "configMapKeyRef", "name")
				add("Secret", value, "secretKeyRef", "name")
			}
		}
	}
	return refs
}

// entriesOf gives the maps of a list.
func entriesOf(list any) []map[string]any {
	entries, _ := list.([]any)
	var found []map[string]any
	for _, entry := range entries {
		if m, ok := entry.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

// heldNames are ConfigMaps and Secrets that objects without pods refer to.
func heldNames(objs []Object) map[source]bool {
	held := map[source]bool{}
	for _, o := range objs {
		if _, workload := podSpec(o.Unstructured); workload {
			continue
		}
		hold := func(kind string, name any) {
			if text, ok := name.(string); ok {
				held[source{kind, o.GetNamespace(), text}] = true
			}
		}
		if o.GetKind() == "ServiceAccount" {
			for _, field := range []string{"secrets", "imagePullSecrets"} {
				for _, secret := range entriesOf(o.Object[field]) {
					hold("Secret", secret["name"])
				}
			}
		}
		for field, value := range o.Object {
			if field != "metadata" && field != "data" && field != "stringData" {
				walk(value, hold)
			}
		}
	}
	return held
}

// walk finds {secretName: x}, {kind: Secret, name: x} and rules of RBAC.
func walk(value any, hold func(kind string, name any)) {
	switch value := value.(type) {
	case []any:
		for _, entry := range value {
			walk(entry, hold)
		}
	case map[string]any:
		hold("Secret", value["secretName"])
		if kind, _ := value["kind"].(string); kind == "Secret" || kind == "ConfigMap" {
			hold(kind, value["name"])
		}
		if names, ok := value["resourceNames"].([]any); ok {
			for _, name := range names {
				hold("Secret", name)
				hold("ConfigMap", name)
			}
		}
		for _, inner := range value {
			walk(inner, hold)
		}
	}
}

// contentHash is over what pods see of the object.
func contentHash(u *unstructured.Unstructured) string {
	content := map[string]any{}
	for _, field := range []string{"data", "binaryData", "stringData", "type"} {
		if value, ok := u.Object[field]; ok {
			content[field] = value
		}
	}
	raw, err := json.Marshal(content)
	if err != nil {
		panic(fmt.Sprintf("an object that was decoded cannot be encoded: %v", err))
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:10]
}
