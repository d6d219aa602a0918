package metrics

import (
	"context"

	"github.com/fibership/fibership/internal/analysis"
)

// RestartsOnly is a Source that reads what the kubelet counts and asks the
// pods nothing.
type RestartsOnly struct{}

// Start begins to measure.
func (RestartsOnly) Start(_ context.Context, list Lister) Session { return restartsOnly{list} }

type restartsOnly struct{ list Lister }

func (r restartsOnly) Read(ctx context.Context) (analysis.Measurement, error) {
	pods, err := r.list(ctx)
	if err != nil {
		return analysis.Measurement{}, err
	}
	return analysis.Measurement{Restarts: Restarts(pods), HasRestarts: len(pods) > 0}, nil
}

func (restartsOnly) Close() {}
