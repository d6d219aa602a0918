package rollout

import (
	"context"
	"time"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// Options of Wait.
type Options struct {
	Timeout time.Duration // 0: five minutes
	Log     progress.Log  // nil: says nothing
}

// Wait returns nil once every workload among objs serves. Objects that do not
// roll out (a ConfigMap, a Service) serve as soon as they are there. It ends
// with a *Failure as soon as one is doomed, or when the time is up; and with
// the context's error when ctx ends.
//
// Where an object says what was last seen of it (Seen), nothing older is
// taken for it: a cached answer never makes the version before look like this
// one serving.
func Wait(ctx context.Context, c *cluster.Client, objs []release.Object, o Options) error {
	return nil
}

// Look judges objs once, in their order, without waiting.
func Look(ctx context.Context, c *cluster.Client, objs []release.Object) ([]Judgement, error) {
	return nil, nil
}
