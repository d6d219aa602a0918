package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorization "k8s.io/api/authorization/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Access is one right. Namespace is empty for the whole cluster, Name for all
// objects of the resource.
type Access struct{ Verb, Group, Resource, Subresource, Namespace, Name string }

// String reads "patch deployments.apps in namespace staging".
func (a Access) String() string {
	s := a.Verb + " " + a.resource()
	if a.Group != "" {
		s += "." + a.Group
	}
	if a.Name != "" {
		s += fmt.Sprintf(" %q", a.Name)
	}
	if a.Namespace != "" {
		s += " in namespace " + a.Namespace
	}
	return s
}

func (a Access) resource() string {
	if a.Subresource != "" {
		return a.Resource + "/" + a.Subresource
	}
	return a.Resource
}

// Can says which rights are missing, in the order in which they were asked for.
// What the list of our rules holds is had for one request; the list may be
// incomplete, so what it lacks is asked for one by one, all at once.
func (c *Client) Can(ctx context.Context, want []Access) (missing []Access, err error) {
	allowed := make([]bool, len(want))
	if err := c.listed(ctx, want, allowed); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, a := range want {
		if allowed[i] {
			continue
		}
		group.Go(func() error {
			review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorization.ResourceAttributes{
					Verb: a.Verb, Group: a.Group, Resource: a.Resource, Subresource: a.Subresource,
					Namespace: a.Namespace, Name: a.Name,
				},
			}}
			answer, err := c.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("ask for the right to %s: %w", a, err)
			}
			allowed[i] = answer.Status.Allowed
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, a := range want {
		if !allowed[i] {
			missing = append(missing, a)
		}
	}
	return missing, nil
}

// listed marks what the rules of our rights in a namespace hold: those of one
// namespace are asked for together where that saves requests.
func (c *Client) listed(ctx context.Context, want []Access, allowed []bool) error {
	of := map[string][]int{}
	for i, a := range want {
		of[a.Namespace] = append(of[a.Namespace], i)
	}
	for namespace, asked := range of {
		if namespace == "" || len(asked) < 2 {
			continue
		}
		review := &authorization.SelfSubjectRulesReview{Spec: authorization.SelfSubjectRulesReviewSpec{Namespace: namespace}}
		answer, err := c.Kube.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, review, metav1.CreateOptions{})
		if ctx.Err() != nil {
			return fmt.Errorf("ask for our rights in namespace %s: %w", namespace, err)
		}
		if err != nil {
			continue // some authorizers know no list
		}
		for _, i := range asked {
			allowed[i] = slices.ContainsFunc(answer.Status.ResourceRules, want[i].within)
		}
	}
	return nil
}

// within says whether a rule gives the right.
func (a Access) within(r authorization.ResourceRule) bool {
	holds := func(list []string, word string) bool {
		return slices.Contains(list, "*") || slices.Contains(list, word)
	}
	resource := holds(r.Resources, a.resource()) || a.Subresource != "" && slices.Contains(r.Resources, "*/"+a.Subresource)
	named := len(r.ResourceNames) == 0 || a.Name != "" && slices.Contains(r.ResourceNames, a.Name)
	return holds(r.Verbs, a.Verb) && holds(r.APIGroups, a.Group) && resource && named
}

// Rules is what to add to give the rights: the rules of a Role for each
// namespace, those of a ClusterRole for the rest, as YAML with a comment that
// says where they belong. Verbs of one resource share a rule.
func Rules(missing []Access) string {
	type where struct{ namespace, group, resource, name string }
	verbs := map[where][]string{}
	var order []where
	for _, a := range missing {
		w := where{a.Namespace, a.Group, a.resource(), a.Name}
		if a.Verb == "create" || a.Verb == "list" || a.Verb == "watch" {
			w.name = "" // such requests name no object: RBAC would not match them
		}
		if _, known := verbs[w]; !known {
			order = append(order, w)
		}
		if !slices.Contains(verbs[w], a.Verb) {
			verbs[w] = append(verbs[w], a.Verb)
		}
	}
	byNamespace := map[string][]rbac.PolicyRule{}
	for _, w := range order {
		slices.Sort(verbs[w])
		rule := rbac.PolicyRule{APIGroups: []string{w.group}, Resources: []string{w.resource}, Verbs: verbs[w]}
		if w.name != "" {
			rule.ResourceNames = []string{w.name}
		}
		byNamespace[w.namespace] = append(byNamespace[w.namespace], rule)
	}
	var out strings.Builder
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		if namespace == "" {
			out.WriteString("# add to a ClusterRole\n")
		} else {
			fmt.Fprintf(&out, "# add to a Role in the namespace %s\n", namespace)
		}
		text, err := yaml.Marshal(map[string]any{"rules": byNamespace[namespace]})
		if err != nil {
			panic(fmt.Sprintf("RBAC rules cannot be encoded: %v", err))
		}
		out.Write(text)
	}
	return out.String()
}
