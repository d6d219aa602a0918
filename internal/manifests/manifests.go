// Package manifests makes objects of files, folders and kustomizations, or of
// a few inputs, and fills in what differs from release to release: the image,
// the namespace, labels, names of configuration. It sees the files below one
// root and nothing else: no network, no cluster.
package manifests

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// An Object with the place where it was written. File is relative to the
// root, empty for what was generated; Line counts from 1, 0 where unknown.
type Object struct {
	*unstructured.Unstructured
	File string
	Line int
}

// Place reads "deploy/web.yaml:12".
func (o Object) Place() string {
	switch {
	case o.File == "":
		return "generated"
	case o.Line == 0:
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

func (o Object) title() string { return o.GetKind() + " " + o.GetName() }

// Place puts namespaced objects that name no namespace into one, and takes the
// namespace from those whose kind knows none. One that names another is refused:
// a release is kept, compared and taken back in one namespace. scoped tells
// which kinds live in namespaces; its error is given with the place of the object.
func Place(objs []Object, namespace string, scoped func(*unstructured.Unstructured) (bool, error)) error {
	for _, o := range objs {
		namespaced, err := scoped(o.Unstructured)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %s: %w", o.Place(), o.title(), err)
		case !namespaced:
			unstructured.RemoveNestedField(o.Object, "metadata", "namespace")
		case o.GetNamespace() == "":
			o.SetNamespace(namespace)
		case o.GetNamespace() != namespace:
			return fmt.Errorf("%s: %s: it is for the namespace %s, and the release for %s: a release lives in one namespace, so leave metadata.namespace out or deploy it by itself",
				o.Place(), o.title(), o.GetNamespace(), namespace)
		}
	}
	// Only now is it known whether two of one name are the same object.
	return unique(objs)
}

// Own puts labels on the objects themselves, not on their pod templates: a new
// label there would restart every pod.
func Own(objs []Object, labels map[string]string) {
	for _, o := range objs {
		all := o.GetLabels()
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, labels)
		o.SetLabels(all)
	}
}

// DropScaled takes the replicas from workloads that an autoscaler of the set
// owns: what is applied would fight with what it decided.
func DropScaled(objs []Object) {
	type target struct{ kind, namespace, name string }
	scaled := map[target]bool{}
	for _, o := range objs {
		field := map[string]string{"HorizontalPodAutoscaler": "scaleTargetRef", "ScaledObject": "scaleTargetRef"}[o.GetKind()]
		if field == "" {
			continue
		}
		ref, _, _ := unstructured.NestedMap(o.Object, "spec", field)
		kind, _ := ref["kind"].(string)
		if kind == "" {
			kind = "Deployment" // what KEDA means by it
		}
		name, _ := ref["name"].(string)
		scaled[target{kind, o.GetNamespace(), name}] = true
	}
	for _, o := range objs {
		if scaled[target{o.GetKind(), o.GetNamespace(), o.GetName()}] {
			unstructured.RemoveNestedField(o.Object, "spec", "replicas")
		}
	}
}
