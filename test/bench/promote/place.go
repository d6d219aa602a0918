package main

import (
	"context"

	"github.com/fibership/fibership/test/bench/stage"
)

// place is a service in staging and in production.
type place struct {
	*stage.Pair
	live int // which of the two versions production has; the first to begin with
}

func newPlace(ctx context.Context, ground *stage.Stage) (*place, error) {
	pair, err := ground.NewPair(ctx)
	if err != nil {
		return nil, err
	}
	return &place{Pair: pair}, nil
}

// host tells this place's requests from those of others at the same Gateway.
func (p *place) host() string { return p.Production.Namespace + ".test" }
