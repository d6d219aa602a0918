package traffic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// A patch of a route is made anew, upon the route as it is then: so often where
// others change it, and for so long where the API server is in trouble.
const (
	patchAgain  = 5
	patchWithin = 30 * time.Second
)

// patience is what is left of that.
type patience struct {
	changed int
	until   time.Time
}

func newPatience() *patience { return &patience{patchAgain, time.Now().Add(patchWithin)} }

// again says whether a patch that failed with err is to be made anew. In
// trouble it waits a moment first; nobody knows then whether the patch was done.
func (p *patience) again(ctx context.Context, err error) bool {
	if errors.Is(err, cluster.ErrChanged) {
		p.changed--
		return p.changed >= 0
	}
	return ctx.Err() == nil && time.Now().Before(p.until) && cluster.Transient(err) && pause(ctx) == nil
}

// Back leads all traffic of a route to the Service that it had: the rules get
// the backends from before, or, to stay, both Services with 100 and 0. What
// somebody else made of a rule meanwhile stays, but for the two weights. A
// route that is gone has no traffic.
func Back(ctx context.Context, c *cluster.Client, r release.Route, stay bool, log progress.Log) error {
	n := names{r.Service, r.Canary, r.Within, r.Namespace}
	for p := newPatience(); ; {
		u, err := c.Get(ctx, RouteObject(r.Namespace, r.Name))
		if err != nil {
			return fmt.Errorf("lead traffic back: %w", err)
		}
		if u == nil {
			log.Linef("HTTPRoute %s is gone: nothing to lead back", r.Name)
			return nil
		}
		lists, err := rules(u)
		if err != nil {
			return fmt.Errorf("lead traffic back: %w", err)
		}
		operations, foreign := n.back(r.Rules, lists, stay)
		if len(operations) == 0 {
			return nil
		}
		_, err = c.Patch(ctx, RouteObject(r.Namespace, r.Name), operations)
		if err == nil {
			for _, f := range foreign {
				progress.Warn(log, "route changed", fmt.Sprintf("HTTPRoute %s was changed by somebody else: %s; only the weights of %s and %s were set back", r.Name, f, r.Service, r.Canary))
			}
			return nil
		}
		if !p.again(ctx, err) {
			return fmt.Errorf("lead traffic back: %w", err)
		}
	}
}

// Observed waits until every parent of the route says that it has accepted it
// as it is now, with all that it refers to.
func Observed(ctx context.Context, c *cluster.Client, r release.Route) error {
	_, err := observed(ctx, c, r.Namespace, r.Name, observedWithin)
	return err
}

// accepted is a route that gateways know.
func accepted(ctx context.Context, c *cluster.Client, namespace, name string) (*unstructured.Unstructured, error) {
	return observed(ctx, c, namespace, name, acceptedWithin)
}

func observed(ctx context.Context, c *cluster.Client, namespace, name string, within time.Duration) (*unstructured.Unstructured, error) {
	late := time.Now().Add(within)
	for {
		u, err := c.Get(ctx, RouteObject(namespace, name))
		if err != nil {
			return nil, err
		}
		if u == nil {
			return nil, fmt.Errorf("there is no HTTPRoute %s in namespace %s", name, namespace)
		}
		why := unobserved(u)
		if why == "" {
			return u, nil
		}
		if time.Now().After(late) {
			return nil, fmt.Errorf("HTTPRoute %s is not in effect after %v: %s", name, within, why)
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// unobserved is what is missing until every parent knows the route as it is
// now; empty: nothing.
func unobserved(route *unstructured.Unstructured) string {
	wanted, _, _ := unstructured.NestedSlice(route.Object, "spec", "parentRefs")
	parents, _, _ := unstructured.NestedSlice(route.Object, "status", "parents")
	if len(wanted) == 0 {
		return "it has no parentRefs"
	}
	for _, w := range wanted {
		ref, _ := w.(map[string]any)
		why := fmt.Sprintf("gateway %v has not taken it", ref["name"])
		for _, p := range parents {
			parent, _ := p.(map[string]any)
			theirs, _ := parent["parentRef"].(map[string]any)
			if !sameParent(ref, theirs, route.GetNamespace()) {
				continue
			}
			if why = unmet(parent, route.GetGeneration()); why == "" {
				break
			}
			why = fmt.Sprintf("gateway %v: %s", ref["name"], why)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

func sameParent(a, b map[string]any, namespace string) bool {
	within := func(ref map[string]any) any {
		if ref["namespace"] == nil {
			return namespace
		}
		return ref["namespace"]
	}
	return a["name"] == b["name"] && a["sectionName"] == b["sectionName"] && a["port"] == b["port"] && within(a) == within(b)
}

// unmet is the condition that does not hold for the generation.
func unmet(parent map[string]any, generation int64) string {
	conditions, _, _ := unstructured.NestedSlice(parent, "conditions")
	for _, kind := range []string{"Accepted", "ResolvedRefs"} {
		why := kind + " is not told"
		for _, c := range conditions {
			condition, _ := c.(map[string]any)
			if condition["type"] != kind {
				continue
			}
			seen, _ := condition["observedGeneration"].(int64)
			switch {
			case seen < generation:
				why = fmt.Sprintf("%s is of generation %d, the route has %d", kind, seen, generation)
			case condition["status"] != "True":
				why = fmt.Sprintf("%s is %v (%v: %v)", kind, condition["status"], condition["reason"], condition["message"])
			default:
				why = ""
			}
		}
		if why != "" {
			return why
		}
	}
	return ""
}
