package manifests

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// PodTemplate gives what u makes its pods of: spec.template of workloads of
// any kind, the inner template of a CronJob, a Pod itself. False where there
// is none, or where it does not decode.
func PodTemplate(u *unstructured.Unstructured) (*corev1.PodTemplateSpec, bool) {
	path, ok := templatePath(u)
	if !ok {
		return nil, false
	}
	raw := u.Object
	if len(path) > 0 {
		var found bool
		if raw, found, _ = unstructured.NestedMap(u.Object, path...); !found {
			return nil, false
		}
	}
	template := &corev1.PodTemplateSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, template); err != nil {
		return nil, false
	}
	return template, true
}

// SetPodTemplate puts a changed template back. Fields of the template that
// this version of Kubernetes' types does not know are lost: where only a value
// is to change, change it in place.
func SetPodTemplate(u *unstructured.Unstructured, template *corev1.PodTemplateSpec) error {
	path, ok := templatePath(u)
	if !ok {
		return fmt.Errorf("%s %s has no pod template", u.GetKind(), u.GetName())
	}
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(template)
	if err != nil {
		return fmt.Errorf("encode the pod template of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	// Zero values that the encoder writes would be fields that we own.
	unstructured.RemoveNestedField(raw, "metadata", "creationTimestamp")
	if len(path) > 0 {
		return unstructured.SetNestedMap(u.Object, raw, path...)
	}
	u.Object["spec"] = raw["spec"]
	return nil
}

// templatePath leads to a map with metadata and spec; empty for a Pod.
func templatePath(u *unstructured.Unstructured) ([]string, bool) {
	if u.GetKind() == "Pod" && u.GetAPIVersion() == "v1" {
		return nil, true
	}
	for _, path := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
		containers, found, _ := unstructured.NestedFieldNoCopy(u.Object, append(path[:len(path):len(path)], "spec", "containers")...)
		if _, list := containers.([]any); found && list {
			return path, true
		}
	}
	return nil, false
}

// podSpec is the live map of the pod template's spec: changes are made in u.
func podSpec(u *unstructured.Unstructured) (map[string]any, bool) {
	path, ok := templatePath(u)
	if !ok {
		return nil, false
	}
	raw, _, _ := unstructured.NestedFieldNoCopy(u.Object, append(path[:len(path):len(path)], "spec")...)
	spec, ok := raw.(map[string]any)
	return spec, ok
}

// containers gives the live maps of every container of a pod's spec.
func containers(spec map[string]any) []map[string]any {
	var all []map[string]any
	for _, field := range []string{"initContainers", "containers"} {
		list, _ := spec[field].([]any)
		for _, entry := range list {
			if c, ok := entry.(map[string]any); ok {
				all = append(all, c)
			}
		}
	}
	return all
}
