// Package jobs runs one Job of a release to its end: a migration, an
// integration test, the workers of a load test. It gives the Job a name of its
// own, shows its log as it is written, says why it failed, and takes it away
// whatever happens. What a Job is for, and when it runs, is not its business.
package jobs

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/release"
)

// Label marks our Jobs and their pods. Its value is what the Job is for. What
// bears it and was left by a run that died is removed by the next one.
const Label = "fibership.dev/job"

// BarrierAnnotation says of a Job that what it changes cannot be taken back.
const BarrierAnnotation = "fibership.dev/barrier"

// ServiceURL stands in a Job's manifest for the address of the service.
const ServiceURL = "SERVICE_URL"

// Job is a Job as it is written: every run makes one of a new name of it.
type Job struct {
	manifests.Object
	For string // what it is for, a label's value: "before"
}

// Load reads the one Job that a manifest, below root, holds.
func Load(ctx context.Context, root, path, purpose string) (*Job, error) {
	objects, err := manifests.Load(ctx, root, []string{path})
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%s holds %d objects: expected one Job and nothing else", path, len(objects))
	}
	return New(objects[0], purpose)
}

// New makes sure that the object is a Job that can run to an end.
func New(o manifests.Object, purpose string) (*Job, error) {
	at := fmt.Sprintf("%s: %s %s", o.Place(), o.GetKind(), o.GetName())
	if o.GetKind() != "Job" || !strings.HasPrefix(o.GetAPIVersion(), batchv1.GroupName+"/") {
		return nil, fmt.Errorf("%s: expected a Job of batch/v1", at)
	}
	var typed batchv1.Job
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &typed); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	switch {
	case len(typed.Spec.Template.Spec.Containers) == 0:
		return nil, fmt.Errorf("%s: it has no container", at)
	case typed.Spec.Suspend != nil && *typed.Spec.Suspend:
		return nil, fmt.Errorf("%s: it is suspended and would never end; take spec.suspend away", at)
	}
	return &Job{Object: o, For: purpose}, nil
}

// Barrier says whether the Job changes what no rollback may go behind.
func (j *Job) Barrier() bool { return j.GetAnnotations()[BarrierAnnotation] == "true" }

// Hash tells one Job from another, as written and filled in.
func (j *Job) Hash() string { return release.Describe(j.Unstructured).Hash }

// word finds SERVICE_URL where it stands for itself, and neither as a part of
// another name nor as the reference to a variable: $(SERVICE_URL) is filled in
// by the kubelet and ${SERVICE_URL} by a shell, from the variable.
var word = regexp.MustCompile(`(^|[^\w$({])` + ServiceURL + `\b`)

// Fill puts the release's image into the containers that ask for it — none
// need to — and, where the service has an address, the address for SERVICE_URL
// in commands, arguments and values of variables. A variable of that name is
// set as well.
func (j *Job) Fill(repository, ref, url string) {
	// Its error is that no container wants the image: a Job may have its own.
	_, _ = manifests.Fill([]manifests.Object{j.Object}, repository, ref)
	if url == "" {
		return
	}
	put := func(value any) any {
		if text, ok := value.(string); ok {
			return word.ReplaceAllString(text, "${1}"+strings.ReplaceAll(url, "$", "$$"))
		}
		return value
	}
	for _, c := range j.containers() {
		for _, field := range []string{"command", "args"} {
			list, _ := c[field].([]any)
			for i := range list {
				list[i] = put(list[i])
			}
		}
		env, _ := c["env"].([]any)
		set := false
		for _, entry := range env {
			if variable, ok := entry.(map[string]any); ok {
				variable["value"] = put(variable["value"])
				if variable["value"] == nil {
					delete(variable, "value")
				}
				set = set || variable["name"] == ServiceURL
			}
		}
		if !set { // first, so that other values can refer to it
			c["env"] = append([]any{map[string]any{"name": ServiceURL, "value": url}}, env...)
		}
	}
}

// containers gives the live maps of the Job's containers, init too.
func (j *Job) containers() []map[string]any {
	spec, _, _ := unstructured.NestedFieldNoCopy(j.Object.Object, "spec", "template", "spec")
	pod, _ := spec.(map[string]any)
	var all []map[string]any
	for _, field := range []string{"initContainers", "containers"} {
		list, _ := pod[field].([]any)
		for _, entry := range list {
			if c, ok := entry.(map[string]any); ok {
				all = append(all, c)
			}
		}
	}
	return all
}

// longest is the length of a Job's name that leaves room in the 63 characters
// of the label that its pods bear it in, and for their index.
const longest = 45

// kept is how long a Job stays at the most after its end when nobody removes it.
const kept = time.Hour

// instance is the Job as one run applies it: under a name of its own, with the
// labels, and bounded in time.
func (j *Job) instance(o Options) (*unstructured.Unstructured, time.Duration, error) {
	u := j.DeepCopy()
	base := strings.TrimRight(u.GetName()[:min(len(u.GetName()), longest)], "-.")
	u.SetName(base + "-" + strings.ToLower(rand.Text()[:8]))
	u.SetGenerateName("")
	switch ns := u.GetNamespace(); ns {
	case "", o.Namespace:
		u.SetNamespace(o.Namespace)
	default:
		return nil, 0, fmt.Errorf("%s: Job %s is of namespace %s: expected %s, that of the release", j.Place(), j.GetName(), ns, o.Namespace)
	}
	labels := map[string]string{}
	for name, value := range u.GetLabels() {
		labels[name] = value
	}
	for name, value := range o.Labels {
		labels[name] = value
	}
	labels[Label] = j.For
	u.SetLabels(labels)

	deadline := o.Timeout
	if seconds, ok, _ := unstructured.NestedInt64(u.Object, "spec", "activeDeadlineSeconds"); ok && seconds > 0 {
		deadline = time.Duration(seconds) * time.Second
	}
	spec, _ := u.Object["spec"].(map[string]any)
	spec["activeDeadlineSeconds"] = max(1, int64(deadline.Seconds()))
	spec["ttlSecondsAfterFinished"] = int64(kept.Seconds()) // sooner, and its end could be missed
	if _, ok := spec["backoffLimit"]; !ok {
		spec["backoffLimit"] = int64(0) // its exit is the verdict: trying again is for the manifest to ask for
	}
	if _, ok, _ := unstructured.NestedString(u.Object, "spec", "template", "spec", "restartPolicy"); !ok {
		if err := unstructured.SetNestedField(u.Object, "Never", "spec", "template", "spec", "restartPolicy"); err != nil {
			return nil, 0, fmt.Errorf("%s: Job %s: %w", j.Place(), j.GetName(), err)
		}
	}
	err := unstructured.SetNestedField(u.Object, j.For, "spec", "template", "metadata", "labels", Label)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: Job %s: %w", j.Place(), j.GetName(), err)
	}
	return u, deadline, nil
}
