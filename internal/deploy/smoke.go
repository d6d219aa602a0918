package deploy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/load"
)

// Smoke is a check that sends requests to the release's Service through the
// API server, so that no ingress is needed and no port need be open.
func Smoke(t Target, objects []*unstructured.Unstructured, tests []load.Smoke) (func(context.Context) []analysis.Result, error) {
	client, base, err := front(t, objects)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) []analysis.Result {
		var results []analysis.Result
		for _, test := range tests {
			result := test.Run(ctx, client, base)
			t.Log.Linef("smoke test %s: %s %s", result.Check, result.Verdict, result.Detail)
			results = append(results, result)
		}
		return results
	}, nil
}

// front is the way to the release's Service: the one named like the service,
// else the first.
func front(t Target, objects []*unstructured.Unstructured) (*http.Client, *url.URL, error) {
	var found *corev1.Service
	for _, u := range objects {
		if u.GetAPIVersion() != "v1" || u.GetKind() != "Service" {
			continue
		}
		s := new(corev1.Service)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s); err != nil {
			return nil, nil, fmt.Errorf("read service %s: %w", u.GetName(), err)
		}
		if len(s.Spec.Ports) > 0 && (found == nil || s.Name == t.Service) {
			found = s
		}
	}
	if found == nil {
		return nil, nil, &Refusal{Reason: "the manifests hold no Service with a port, so smoke tests have nothing to ask",
			Advice: "add a Service for the deployment's pods"}
	}
	return t.Cluster.ServiceURL(found.Namespace, found.Name, int(found.Spec.Ports[0].Port))
}
