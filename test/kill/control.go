package kill

import (
	"context"

	"github.com/fibership/fibership/test/loadgen"
)

// control is a service that nobody touches, under the same load as the others:
// when it loses requests, the machine is too busy to say anything of theirs.
type control struct {
	lane *lane
	load *loadgen.Load
}

func newControl(ctx context.Context, m *Matrix) (*control, error) {
	c := new(control)
	var err error
	if c.lane, err = newLane(ctx, m, Victim{}); err != nil {
		return c, err
	}
	c.load, err = c.lane.load(ctx)
	return c, err
}

// lost is how many requests were lost by now.
func (c *control) lost() int { return c.load.Counts().Failed }

func (c *control) remove(ctx context.Context) error {
	if c.load != nil {
		c.load.Stop()
	}
	return c.lane.remove(ctx)
}
