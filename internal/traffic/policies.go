package traffic

import (
	"context"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fibership/fibership/internal/cluster"
)

// admitted is an error where NetworkPolicies keep requests from warm pods: they
// have no labels of the version that they stand for, so a policy that lets
// requests come to that does not select them. Who may not read policies is told
// of none.
func admitted(ctx context.Context, c *cluster.Client, namespace, id string, objects []*unstructured.Unstructured) error {
	list, err := c.Kube.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("list the policies of the network: %w", err)
	}
	for _, u := range fronted(objects) {
		if policy := shuts(list.Items, podLabels(u), warmLabels(u.GetName(), id)); policy != "" {
			return fmt.Errorf("the NetworkPolicy %s selects its pods, and not those that are warm, to which others let no request come", policy)
		}
	}
	return nil
}

// shuts names a policy that lets requests come to the live pods and does not
// select the warm ones, where another one selects these: what no policy selects
// is open.
func shuts(policies []networkingv1.NetworkPolicy, live, warm map[string]string) string {
	missing, isolated := "", false
	for i := range policies {
		p := &policies[i]
		if types := p.Spec.PolicyTypes; len(types) > 0 && !slices.Contains(types, networkingv1.PolicyTypeIngress) {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
		if err != nil {
			continue
		}
		switch on := selector.Matches(labels.Set(warm)); {
		case on:
			isolated = true
		case selector.Matches(labels.Set(live)):
			missing = p.Name
		}
	}
	if !isolated {
		return ""
	}
	return missing
}
