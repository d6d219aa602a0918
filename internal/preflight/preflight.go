// Package preflight says before anything is written whether the pods of a
// release could be made and run in a namespace. The API server's dry run cannot
// tell: pods are made later, by controllers, and then it is the quota, a missing
// Secret or the platform of a node that stops them. It refuses only what surely
// cannot work; how objects are applied and what releases are is no business of it.
package preflight

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/manifests"
)

// Release is what is to run.
type Release struct {
	Namespace string
	Objects   []*unstructured.Unstructured // all of it
	Beside    []*unstructured.Unstructured // Jobs that run beside it, for a while
	Replaced  []*unstructured.Unstructured // live workloads whose pods go
	Image     string                       // repository@sha256:…
	Platforms []v1.Platform                // of the image; none: not known
}

// Finding is what is wrong with an object of the release.
type Finding struct {
	Object *unstructured.Unstructured
	Text   string
	Fatal  bool // else it may work nevertheless
}

// Result is what was found. Skipped names what could not be looked at.
type Result struct {
	Findings []Finding
	Skipped  []string
	Requests int // that it took
}

// Check looks at the namespace and judges the release. An error says that the
// API server could not be asked; what we have no right to see is skipped.
func Check(ctx context.Context, c *cluster.Client, r Release) (Result, error) {
	groups := podsOf(r)
	if len(groups) == 0 {
		return Result{}, nil
	}
	var parts [4]Result
	group, ctx := errgroup.WithContext(ctx)
	for i, check := range []func(context.Context, *cluster.Client, Release, []pods) (Result, error){references, resources, platforms, admission} {
		group.Go(func() (err error) {
			parts[i], err = check(ctx, c, r, groups)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	var all Result
	for _, part := range parts {
		all.Findings = append(all.Findings, part.Findings...)
		all.Skipped = append(all.Skipped, part.Skipped...)
		all.Requests += part.Requests
	}
	return all, nil
}

func (r *Result) fatal(u *unstructured.Unstructured, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Object: u, Fatal: true, Text: fmt.Sprintf(format, args...)})
}

func (r *Result) warn(u *unstructured.Unstructured, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Object: u, Text: fmt.Sprintf(format, args...)})
}

// unseen notes what could not be looked at, and gives the error if that is not
// for a want of rights.
func (r *Result) unseen(what string, err error) error {
	if _, ok := errors.AsType[*cluster.ForbiddenError](err); ok {
		r.Skipped = append(r.Skipped, what)
		return nil
	}
	return err
}

// pods is the pods that one object of the release makes.
type pods struct {
	owner *unstructured.Unstructured
	meta  metav1.ObjectMeta // of the template
	spec  corev1.PodSpec
	count int64 // in its steady state; 0: not known, or for a while only
	surge bool  // a new pod comes before an old one goes
}

// podsOf is the pods of the namespace.
func podsOf(r Release) (all []pods) {
	add := func(u *unstructured.Unstructured, count func(*unstructured.Unstructured) int64) {
		template, ok := manifests.PodTemplate(u)
		if !ok || u.GetNamespace() != r.Namespace {
			return
		}
		strategy, _, _ := unstructured.NestedString(u.Object, "spec", "strategy", "type")
		all = append(all, pods{
			owner: u, meta: template.ObjectMeta, spec: template.Spec, count: count(u),
			surge: u.GetKind() == "Deployment" && strategy != "Recreate",
		})
	}
	for _, u := range r.Objects {
		add(u, func(u *unstructured.Unstructured) int64 { return replicas(u, r.Replaced) })
	}
	for _, u := range r.Beside {
		add(u, func(*unstructured.Unstructured) int64 { return 0 })
	}
	return all
}

// replicas is how many pods a workload comes to, at the least. Of one whose
// size the manifest leaves out, what is live stays.
func replicas(u *unstructured.Unstructured, live []*unstructured.Unstructured) int64 {
	switch u.GetKind() {
	case "Pod":
		return 1
	case "Deployment", "StatefulSet", "ReplicaSet":
		if n, ok, _ := unstructured.NestedInt64(u.Object, "spec", "replicas"); ok {
			return n
		}
		for _, l := range live {
			if n, ok, _ := unstructured.NestedInt64(l.Object, "spec", "replicas"); ok && l.GetKind() == u.GetKind() && l.GetName() == u.GetName() {
				return n
			}
		}
		return 1
	}
	return 0
}
