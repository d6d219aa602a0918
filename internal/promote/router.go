package promote

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
)

// Router makes weights true. The strategies and kinds of traffic differ in it
// alone. What it changes of the live version's traffic it notes first.
type Router interface {
	// Objects is what will stand beside the live version: recorded first.
	Objects() []release.Object
	// Hold keeps the live version's traffic where it is while pods come to
	// stand beside it.
	Hold(ctx context.Context, note traffic.Note) error
	// Size makes as many pods beside as a weight in percent needs.
	Size(ctx context.Context, weight int) error
	// Grow makes more of them where the live version has grown meanwhile, and
	// says whether it had.
	Grow(ctx context.Context, weight int) (bool, error)
	// Shift leads that much traffic to them and gives the share reached, as far
	// as that follows from what was set.
	Shift(ctx context.Context, weight int, note traffic.Note) (float64, error)
	// Held is an error where somebody else changed the live version, which its
	// traffic is held to.
	Held(ctx context.Context) error
	CanaryPods(ctx context.Context) ([]corev1.Pod, error)
	LivePods(ctx context.Context) ([]corev1.Pod, error)
}

// DryRun tells what Run would do, and changes nothing.
func DryRun(ctx context.Context, t deploy.Target, p Plan) (deploy.Result, error) {
	result, err := deploy.DryRun(ctx, t, p.Plan)
	if err != nil || result.OnlyFlags || p.Strategy == Rolling {
		return result, err
	}
	s, err := deploy.Peek(ctx, t)
	if err == nil {
		_, err = p.router(ctx, s)
	}
	if err != nil {
		result.Status = release.Refused
	}
	return result, err
}

// needs is the rights that leading traffic needs.
func (p Plan) needs(namespace string) []cluster.Access {
	switch {
	case p.Strategy == Rolling, p.Strategy == Canary && p.Traffic == Replicas:
		return nil
	case p.Traffic == Gateway:
		if of, _, ok := strings.Cut(p.Route, "/"); ok {
			return deploy.Steering(namespace, of)
		}
		return deploy.Steering(namespace, namespace)
	}
	return deploy.Steering(namespace, "")
}

// router is the plan's, nil where nothing is to stand beside. A first release
// has nothing to stand beside: it is rolled out, checked and watched. The error
// is a Refusal.
func (p Plan) router(ctx context.Context, s *deploy.Session) (Router, error) {
	if p.Strategy == Rolling {
		return nil, nil
	}
	if _, live := s.History.Live(); !live {
		s.Log.Linef("first release of %s in %s: nothing to compare with, it is rolled out and watched", s.Service, s.Environment)
		return nil, nil
	}
	router, err := p.routerOf(ctx, s)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, &deploy.Refusal{Reason: "traffic cannot be led to a version beside the live one, and nothing was changed", Err: err}
	}
	return router, nil
}

func (p Plan) routerOf(ctx context.Context, s *deploy.Session) (Router, error) {
	if p.Traffic != Gateway && p.Strategy == Canary {
		return traffic.NewReplicas(ctx, s.Cluster, p.Objects)
	}
	live, err := s.LiveObjects(ctx)
	if err != nil {
		return nil, err
	}
	if p.Traffic != Gateway {
		return traffic.NewSwitch(ctx, s.Cluster, p.Objects, live)
	}
	front, err := deploy.FrontOf(s.Service, p.Objects)
	if err != nil {
		return nil, err
	}
	return traffic.NewGateway(ctx, s.Cluster, p.Objects, live, front.Object(), p.Route)
}
