package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fibership/fibership/test/bench/stage"
)

// place is one tool's own, with the same service in it.
type place struct {
	*stage.Place
	tool     tool
	live     int // which of the two versions
	revision int // as the tool counts them
}

// newPlace deploys one version after the other.
func newPlace(ctx context.Context, ground *stage.Stage, t tool) (*place, error) {
	at, err := ground.NewPlace(ctx)
	if err != nil {
		return nil, err
	}
	p := &place{Place: at, tool: t}
	for version, image := range p.Images {
		err := p.Write(stage.Web{Image: image, Greet: configuration(version)}.Manifests())
		if err == nil {
			err = t.deploy(ctx, p, version)
		}
		if err != nil {
			return nil, errors.Join(err, p.Remove(ctx))
		}
		p.live = version
		p.revision++
	}
	return p, nil
}

// configuration is what a version has and greets with.
func configuration(version int) string { return fmt.Sprintf("configuration %d", version) }
