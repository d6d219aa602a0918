package deploy

import (
	"context"
	"encoding/base64"
	"errors"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/rollout"
)

// conceal takes the values of the release's Secrets out of the evidence of a
// failure: a service may have printed what it was given.
func (a *Attempt) conceal(ctx context.Context, err error) {
	failure, ok := errors.AsType[*rollout.Failure](err)
	if !ok {
		return
	}
	var values []string
	var specs []corev1.PodSpec
	for _, c := range a.changes {
		if c.Wanted == nil {
			continue
		}
		if c.Object.Kind == "Secret" && c.Object.APIVersion == "v1" {
			values = append(values, written(c.Wanted)...)
		}
		if template, ok := manifests.PodTemplate(c.Wanted); ok {
			specs = append(specs, template.Spec)
		}
	}
	failure.Redact(append(values, a.given(ctx, specs...)...))
}

// given is the values of the Secrets that pods are given.
func (s *Session) given(ctx context.Context, specs ...corev1.PodSpec) []string {
	names := make(map[string]bool)
	for _, spec := range specs {
		for _, name := range used(spec) {
			names[name] = true
		}
	}
	var values []string
	for name := range names {
		secret, err := s.Cluster.Kube.CoreV1().Secrets(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			continue // a Secret that is not there was not given to anybody
		}
		for _, value := range secret.Data {
			values = append(values, string(value))
		}
	}
	return values
}

// written is the values that a manifest of a Secret holds.
func written(u *unstructured.Unstructured) []string {
	var values []string
	plain, _, _ := unstructured.NestedStringMap(u.Object, "stringData")
	for _, value := range plain {
		values = append(values, value)
	}
	encoded, _, _ := unstructured.NestedStringMap(u.Object, "data")
	for _, value := range encoded {
		if raw, err := base64.StdEncoding.DecodeString(value); err == nil {
			values = append(values, string(raw))
		}
	}
	return values
}

// used is the Secrets whose values a pod is given.
func used(spec corev1.PodSpec) []string {
	var names []string
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		for _, from := range c.EnvFrom {
			if from.SecretRef != nil {
				names = append(names, from.SecretRef.Name)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
				names = append(names, env.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for _, v := range spec.Volumes {
		if v.Secret != nil {
			names = append(names, v.Secret.SecretName)
		}
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}
