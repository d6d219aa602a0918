package stage

import (
	"context"
	"errors"
	"maps"
)

// Pair is a service in staging and in production, a place each.
type Pair struct{ Staging, Production *Place }

// NewPair makes both, which are to be removed; staging has its manifests.
func (s *Stage) NewPair(ctx context.Context) (*Pair, error) {
	staging, err := s.NewPlace(ctx)
	if err != nil {
		return nil, err
	}
	production, err := s.NewPlace(ctx)
	if err != nil {
		return nil, errors.Join(err, staging.Remove(ctx))
	}
	p := &Pair{staging, production}
	if err := staging.Write(Web{Replicas: 1}.Manifests()); err != nil {
		return nil, errors.Join(err, p.Remove(ctx))
	}
	return p, nil
}

// Remove removes both places.
func (p *Pair) Remove(ctx context.Context) error {
	return errors.Join(p.Staging.Remove(ctx), p.Production.Remove(ctx))
}

// Pass brings one of the two versions to staging.
func (p *Pair) Pass(ctx context.Context, version int) error {
	_, err := p.Staging.Action(ctx, "deploy-staging", 0, map[string]string{
		"image": p.Staging.Images[version], "manifests": "web.yaml", "environment": "staging",
	})
	return err
}

// Promote brings to production what is live in staging, with the manifests
// that production has.
func (p *Pair) Promote(ctx context.Context, exit int, inputs map[string]string) (Step, error) {
	all := map[string]string{"manifests": "web.yaml", "from-namespace": p.Staging.Namespace, "watch": "0s"}
	maps.Copy(all, inputs)
	return p.Production.Action(ctx, "promote", exit, all)
}
