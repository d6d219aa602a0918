package traffic

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// observedWithin is what a gateway may take to say that it knows a route's
// weights, and to say that it knows the route at all.
const (
	observedWithin = time.Minute
	acceptedWithin = 10 * time.Second
)

// Gateway steers by the weights of an HTTPRoute: one Service has the live
// version's pods, another the pods beside. Only the backendRefs of the rules
// that lead to the Service are touched.
type Gateway struct {
	versions
	live    []*unstructured.Unstructured // the live version's objects
	names   names
	steered release.Steered
}

// NewGateway is for the objects of the new release, which Permanent has made
// ready, and those of the live one. service is the one whose traffic is
// steered, route the HTTPRoute as name or namespace/name, empty for the only
// one among the objects. The error says why it cannot be steered so.
func NewGateway(ctx context.Context, c *cluster.Client, objects, live []*unstructured.Unstructured, service release.Object, route string) (*Gateway, error) {
	var front []*unstructured.Unstructured
	for _, u := range objects {
		if isService(u) && u.GetName() == service.Name && u.GetNamespace() == service.Namespace {
			front = append(front, u)
		}
	}
	v, err := pairUp(ctx, c, objects, selectors(front))
	if err != nil {
		return nil, err
	}
	namespace, name, err := routeOf(objects, route, service.Namespace)
	if err != nil {
		return nil, err
	}
	g := &Gateway{versions: v, live: live, names: names{service.Name, CanaryService(service.Name), service.Namespace, namespace}}
	if g.steered.Services, err = v.pins(ctx, objects, live); err != nil {
		return nil, err
	}
	u, err := accepted(ctx, c, namespace, name)
	if err != nil {
		return nil, err
	}
	if err := free(u, front); err != nil {
		return nil, err
	}
	r := &release.Route{Namespace: namespace, Name: name, Service: g.names.service, Within: g.names.namespace, Canary: g.names.canary}
	if r.Rules, err = g.names.steerable(u); err != nil {
		return nil, err
	}
	g.steered.Route = r
	return g, nil
}

// routeOf is the HTTPRoute to steer.
func routeOf(objects []*unstructured.Unstructured, route, namespace string) (string, string, error) {
	if route != "" {
		if before, name, ok := strings.Cut(route, "/"); ok {
			return before, name, nil
		}
		return namespace, route, nil
	}
	var found []*unstructured.Unstructured
	for _, u := range objects {
		if isRoute(u) {
			found = append(found, u)
		}
	}
	if len(found) != 1 {
		return "", "", fmt.Errorf("the manifests have %d HTTPRoutes, and the input route names none: it says which to steer", len(found))
	}
	return found[0].GetNamespace(), found[0].GetName(), nil
}

func isRoute(u *unstructured.Unstructured) bool {
	return u.GetKind() == routeKind && strings.HasPrefix(u.GetAPIVersion(), routeGroup+"/")
}

const (
	routeGroup = "gateway.networking.k8s.io"
	routeKind  = "HTTPRoute"
)

// RouteObject identifies a route.
func RouteObject(namespace, name string) release.Object {
	return release.Object{APIVersion: routeGroup + "/v1", Kind: routeKind, Namespace: namespace, Name: name}
}

// free refuses a route that somebody else looks after.
func free(route *unstructured.Unstructured, front []*unstructured.Unstructured) error {
	if owner := metav1.GetControllerOf(route); owner != nil {
		return fmt.Errorf("HTTPRoute %s is owned by %s %s, which would set its weights back", route.GetName(), owner.Kind, owner.Name)
	}
	for _, label := range []string{"fibership.dev/service", "fibership.dev/environment"} {
		if theirs := route.GetLabels()[label]; theirs != "" && len(front) > 0 && theirs != front[0].GetLabels()[label] {
			return fmt.Errorf("HTTPRoute %s belongs to another one: its label %s is %s", route.GetName(), label, theirs)
		}
	}
	return nil
}

// Hold pins the Service to the live version.
func (g *Gateway) Hold(ctx context.Context, note Note) error {
	pins, err := hold(ctx, g.cluster, g.live, g.steered, note)
	g.steered.Services = pins
	return err
}

// Shift gives what stands beside a weight in percent, and returns when both
// Services have their endpoints and every parent of the route says that it
// knows the weight. Gateways may say so before it is true.
func (g *Gateway) Shift(ctx context.Context, weight int, note Note) (reached float64, err error) {
	for _, service := range []string{g.names.service, g.names.canary} {
		if err := endpoints(ctx, g.cluster, g.names.namespace, service); err != nil {
			return 0, err
		}
	}
	if err := g.shift(ctx, weight, note); err != nil {
		return 0, fmt.Errorf("shift traffic to %d%%: %w", weight, err)
	}
	if err := Observed(ctx, g.cluster, *g.steered.Route); err != nil {
		return 0, fmt.Errorf("shift traffic to %d%%: %w", weight, err)
	}
	return float64(weight), nil
}

func (g *Gateway) shift(ctx context.Context, weight int, note Note) error {
	r := *g.steered.Route
	for p := newPatience(); ; {
		next := r
		written, operations, err := g.names.forth(r.Rules, weight)
		if err != nil {
			return err
		}
		next.Rules, next.Weight = written, max(weight, r.Weight)
		s := g.steered
		s.Route = &next
		if err := note(ctx, s); err != nil {
			return err
		}
		_, err = g.cluster.Patch(ctx, RouteObject(r.Namespace, r.Name), operations)
		if err == nil {
			g.steered = s
			return nil
		}
		if !p.again(ctx, err) {
			return err
		}
		u, err := g.cluster.Get(ctx, RouteObject(r.Namespace, r.Name))
		if err != nil {
			return err
		}
		if u == nil {
			return fmt.Errorf("HTTPRoute %s is gone: somebody removed it meanwhile", r.Name)
		}
		lists, err := rules(u)
		if err != nil {
			return err
		}
		if moved, ok := found(next.Rules, lists); ok { // it was done, and the answer lost
			next.Rules = moved
			g.steered = s
			return nil
		}
		moved, ok := found(r.Rules, lists)
		if !ok {
			return fmt.Errorf("the backends of HTTPRoute %s were changed by somebody else meanwhile", r.Name)
		}
		r.Rules = moved
	}
}
