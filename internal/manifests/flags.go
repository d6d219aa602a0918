package manifests

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/flags"
	"github.com/fibership/fibership/internal/progress"
)

// FlagsKey is the key of the flag file in its ConfigMap.
const FlagsKey = "flags.json"

// flagsPath is where a generated Deployment has the flag file's folder.
const flagsPath = "/etc/flags"

// FlagsName is the name of the ConfigMap that holds a service's flag file.
func FlagsName(service string) string { return service + "-flags" }

// WithFlags adds the ConfigMap of a service's flag file. One of that name
// among the objects is an error: the two would overwrite each other.
func WithFlags(objs []Object, service string, file *flags.File) ([]Object, error) {
	for _, o := range objs {
		if o.GetKind() == "ConfigMap" && o.GetName() == FlagsName(service) {
			return nil, fmt.Errorf("%s: %s is made from the flag file: leave it out here, or give no flag file", o.Place(), o.title())
		}
	}
	return append(objs, Flags(service, file)), nil
}

// LintFlags warns where nothing reads the flag file, or nothing sees it change.
func LintFlags(objs []Object, service string) []progress.Annotation {
	l := linter{objs: objs}
	read := false
	for _, o := range objs {
		spec, ok := podSpec(o.Unstructured)
		if !ok {
			continue
		}
		mounted := map[any]bool{}
		for _, volume := range entriesOf(spec["volumes"]) {
			for _, ref := range configuration(map[string]any{"volumes": []any{volume}}) {
				if ref.kind == "ConfigMap" && ref.name() == FlagsName(service) {
					mounted[volume["name"]], read = true, true
				}
			}
		}
		for _, c := range containers(spec) {
			for _, mount := range entriesOf(c["volumeMounts"]) {
				if mounted[mount["name"]] && (mount["subPath"] != nil || mount["subPathExpr"] != nil) {
					l.warn(o, "mounts the flags by a subPath, which never follows a change: mount the folder")
				}
			}
		}
	}
	if !read {
		l.notes = append(l.notes, progress.Annotation{
			Level: progress.Warning, Title: "flags",
			Message: fmt.Sprintf("no workload mounts the ConfigMap %s: nobody reads the flags", FlagsName(service)),
		})
	}
	return l.notes
}

// Flags is the ConfigMap of a service's flag file. It keeps its name, whatever
// it holds: it is to change under the pods that run.
func Flags(service string, file *flags.File) Object {
	return Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"name":        FlagsName(service),
			"annotations": map[string]any{KeepName: "true"},
		},
		"data": map[string]any{FlagsKey: file.JSON()},
	}}}
}

// Read reads a file below root, as Load does: nothing outside of it, also not
// by a symbolic link, and no more than it takes of a manifest. The error is a
// *PathError.
func Read(root, path string) ([]byte, error) {
	opened, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open the workspace: %w", err)
	}
	defer opened.Close()
	inside, err := within(root, path)
	if err != nil {
		return nil, &PathError{err}
	}
	text, err := read(opened, inside)
	if err != nil {
		return nil, &PathError{err}
	}
	return text, nil
}

// mountFlags lets flagd's providers, which read these variables by themselves,
// answer from the ConfigMap. The folder is mounted, not the file: a subPath
// would never change. What env says itself stays.
func (s Service) mountFlags(workload Object) {
	template, _, _ := unstructured.NestedFieldNoCopy(workload.Object, "spec", "template", "spec")
	pod, _ := template.(map[string]any)
	list := func(in map[string]any, field string, more ...any) {
		entries, _ := in[field].([]any)
		in[field] = append(entries, more...)
	}
	list(pod, "volumes", map[string]any{"name": "flags", "configMap": map[string]any{"name": FlagsName(s.Name)}})
	for _, c := range entriesOf(pod["containers"]) {
		list(c, "volumeMounts", map[string]any{"name": "flags", "mountPath": flagsPath, "readOnly": true})
		given := map[any]bool{}
		for _, variable := range entriesOf(c["env"]) {
			given[variable["name"]] = true
		}
		for _, variable := range []struct{ name, value string }{
			{"FLAGD_RESOLVER", "in-process"}, // with a path: from the file; all providers know this word
			{"FLAGD_OFFLINE_FLAG_SOURCE_PATH", flagsPath + "/" + FlagsKey},
		} {
			if !given[variable.name] {
				list(c, "env", map[string]any{"name": variable.name, "value": variable.value})
			}
		}
	}
}
