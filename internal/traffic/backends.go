package traffic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// backend is a backendRef of an HTTPRoute's rule, as it stands there.
type backend map[string]any

func (b backend) text(field string) string {
	text, _ := b[field].(string)
	return text
}

func (b backend) String() string {
	kind := b.text("kind")
	if kind == "" {
		kind = "Service"
	}
	return fmt.Sprintf("%s %s", kind, b.text("name"))
}

// names is the two Services that weights are shared between, their namespace
// and that of the route.
type names struct{ service, canary, namespace, route string }

// is says whether the backend is the Service. What names no namespace is in
// the route's.
func (n names) is(b backend, service string) bool {
	namespace := b.text("namespace")
	if namespace == "" {
		namespace = n.route
	}
	return b.text("group") == "" && (b.text("kind") == "" || b.text("kind") == "Service") && b.text("name") == service && namespace == n.namespace
}

// weight is 1 where none is given, as the Gateway API says.
func (b backend) weight() int {
	switch w := b["weight"].(type) {
	case float64:
		return int(w)
	case int64:
		return int(w)
	}
	return 1
}

func (b backend) with(field string, value any) backend {
	c := maps.Clone(b)
	c[field] = value
	return c
}

// alike says whether two backends are the same but for their weights.
func alike(a, b backend) bool { return reflect.DeepEqual(a.with("weight", 0.), b.with("weight", 0.)) }

func backends(raw json.RawMessage) ([]backend, error) {
	var list []backend
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read backendRefs: %w", err)
	}
	return list, nil
}

func raw(list []backend) json.RawMessage {
	text, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("what was decoded cannot be encoded: %v", err))
	}
	return text
}

// split finds the two among a rule's backends. only says that there is nothing
// else; canary is nil where only the Service is there.
func (n names) split(list []backend) (service, canary backend, only bool) {
	only = true
	for _, b := range list {
		switch {
		case n.is(b, n.service) && service == nil:
			service = b
		case n.is(b, n.canary) && canary == nil:
			canary = b
		default:
			only = false
		}
	}
	return service, canary, only
}

// weighted is the two with the canary's weight in percent.
func (n names) weighted(list []backend, weight int) []backend {
	service, canary, _ := n.split(list)
	if canary == nil {
		canary = service.with("name", n.canary)
	}
	return []backend{service.with("weight", float64(100-weight)), canary.with("weight", float64(weight))}
}

// steerable finds the rules that have the Service as a backend. The error
// names the rule that cannot be steered, or says that there is none.
func (n names) steerable(route *unstructured.Unstructured) ([]release.Rule, error) {
	lists, err := rules(route)
	if err != nil {
		return nil, err
	}
	var found []release.Rule
	for i, list := range lists {
		service, canary, only := n.split(list)
		switch {
		case service == nil && canary == nil:
			continue
		case service == nil || !only:
			return nil, fmt.Errorf("rule %d of HTTPRoute %s has the backends %s: to be steered it must have %s alone, or with %s", i+1, route.GetName(), told(list), n.service, n.canary)
		}
		found = append(found, release.Rule{Index: i, Was: raw(list)})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no rule of HTTPRoute %s has service %s as its backend", route.GetName(), n.service)
	}
	return found, nil
}

// rules is the backends of each of a route's rules.
func rules(route *unstructured.Unstructured) ([][]backend, error) {
	all, _, err := unstructured.NestedSlice(route.Object, "spec", "rules")
	if err != nil {
		return nil, fmt.Errorf("read the rules of HTTPRoute %s: %w", route.GetName(), err)
	}
	lists := make([][]backend, len(all))
	for i, r := range all {
		rule, _ := r.(map[string]any)
		text, err := json.Marshal(rule["backendRefs"])
		if err != nil {
			return nil, fmt.Errorf("read rule %d of HTTPRoute %s: %w", i+1, route.GetName(), err)
		}
		if lists[i], err = backends(text); err != nil {
			return nil, fmt.Errorf("rule %d of HTTPRoute %s: %w", i+1, route.GetName(), err)
		}
	}
	return lists, nil
}

func told(list []backend) string {
	var all []string
	for _, b := range list {
		all = append(all, b.String())
	}
	return strings.Join(all, ", ")
}

// forth is the patch that gives the canary its weight. Each rule must still be
// as it was written last.
func (n names) forth(rules []release.Rule, weight int) ([]release.Rule, []cluster.Operation, error) {
	next := make([]release.Rule, len(rules))
	var operations []cluster.Operation
	for i, r := range rules {
		is := r.Is()
		list, err := backends(is)
		if err != nil {
			return nil, nil, err
		}
		next[i] = release.Rule{Index: r.Index, Was: r.Was, Wrote: raw(n.weighted(list, weight))}
		operations = append(operations, replaced(r.Index, is, next[i].Wrote)...)
	}
	return next, operations, nil
}

func replaced(rule int, is, then json.RawMessage) []cluster.Operation {
	path := fmt.Sprintf("/spec/rules/%d/backendRefs", rule)
	return []cluster.Operation{{Op: "test", Path: path, Value: is}, {Op: "replace", Path: path, Value: then}}
}

// found gives rules that stand elsewhere by now their new places; false where
// one is not there as it was written any more.
func found(rules []release.Rule, lists [][]backend) ([]release.Rule, bool) {
	taken := make(map[int]bool)
	moved := make([]release.Rule, len(rules))
	for i, r := range rules {
		at := -1
		for j, list := range lists {
			if !taken[j] && bytes.Equal(canonical(r.Is()), raw(list)) && (at < 0 || j == r.Index) {
				at = j
			}
		}
		if at < 0 {
			return nil, false
		}
		taken[at] = true
		moved[i] = r
		moved[i].Index = at
	}
	return moved, true
}

func canonical(text json.RawMessage) json.RawMessage {
	list, err := backends(text)
	if err != nil {
		return text
	}
	return raw(list)
}

// back is the patch that leads all traffic of a route's rules to the Service:
// to the backends that were there before, or, to stay, with both of them at 100
// and 0. Rules that somebody changed meanwhile get the two weights back and are
// told; those without the canary have no traffic for it.
func (n names) back(were []release.Rule, lists [][]backend, stay bool) (operations []cluster.Operation, foreign []string) {
	for i, list := range lists {
		service, canary, only := n.split(list)
		switch {
		case canary == nil:
			continue
		case service != nil && only:
			then := n.weighted(list, 0)
			if was := n.was(were, i, service); !stay && len(was) == 1 {
				then = was
			}
			if !reflect.DeepEqual(then, list) {
				operations = append(operations, replaced(i, raw(list), raw(then))...)
			}
		case canary.weight() > 0:
			foreign = append(foreign, fmt.Sprintf("rule %d has the backends %s now", i+1, told(list)))
			operations = append(operations, n.weights(i, list)...)
		}
	}
	return operations, foreign
}

// was is the backends that a rule had before us.
func (n names) was(were []release.Rule, index int, service backend) []backend {
	var other []backend
	for _, r := range were {
		list, err := backends(r.Was)
		if err != nil || len(list) == 0 || !alike(list[0], service) && len(list) == 1 {
			continue
		}
		if r.Index == index {
			return list
		}
		other = list
	}
	return other
}

// weights gives the Service what the canary has.
func (n names) weights(rule int, list []backend) []cluster.Operation {
	var operations []cluster.Operation
	_, canary, _ := n.split(list)
	for i, b := range list {
		path := fmt.Sprintf("/spec/rules/%d/backendRefs/%d", rule, i)
		weight := 0
		switch {
		case n.is(b, n.service):
			weight = b.weight() + canary.weight()
		case !n.is(b, n.canary):
			continue
		}
		name, _ := json.Marshal(b.text("name"))
		operations = append(operations,
			cluster.Operation{Op: "test", Path: path + "/name", Value: name},
			cluster.Operation{Op: "add", Path: path + "/weight", Value: fmt.Appendf(nil, "%d", weight)})
	}
	return operations
}
