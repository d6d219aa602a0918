package promote

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/progress"
)

// How long it is waited for requests to show a weight, and for requests to
// come at all.
const (
	proveWithin = time.Minute
	proveEvery  = time.Second
	idleAfter   = 10 * time.Second
)

// prove waits until requests show that the gateway has gone from one weight to
// the next, and gives the share that they show: gateways say that they know a
// weight before they act on it. Where the pods do not tell their requests, or
// get none, the gateway's word has to do. It ends early with the error of look,
// which is called every other second.
func (w *walk) prove(ctx context.Context, what string, before, weight int, look func(context.Context) error) (float64, error) {
	began, looked := time.Now(), time.Now()
	e := newEvidence(before, weight)
	live, beside, err := w.counts(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(proveEvery):
		}
		if time.Since(looked) >= lookEvery {
			looked = time.Now()
			if failed := look(ctx); failed != nil {
				return 0, failed
			}
		}
		var nowLive, nowBeside metrics.Counts
		if nowLive, nowBeside, err = w.counts(ctx); err != nil {
			break
		}
		e.add(nowLive.Since(live), nowBeside.Since(beside))
		live, beside = nowLive, nowBeside
		past := time.Since(began)
		switch {
		case e.holds():
			w.Log.Linef("%s at %d%%: requests show it after %v: %s", what, weight, past.Round(time.Second), e)
			return 100 * e.share(), nil
		case e.all == 0 && past >= idleAfter:
			w.Log.Linef("%s at %d%%: no request came in %v: whether the gateway acts on the weight cannot be seen", what, weight, idleAfter)
			return float64(weight), nil
		case past >= proveWithin:
			progress.Warn(w.Log, "weight not seen", fmt.Sprintf("%s at %d%%: after %v the requests do not show the weight: %s", what, weight, proveWithin, e))
			return 100 * e.share(), nil
		}
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	w.Log.Linef("%s at %d%%: whether the gateway acts on the weight cannot be seen, the pods do not tell their requests: %v", what, weight, err)
	return float64(weight), nil
}

func (w *walk) counts(ctx context.Context) (live, beside metrics.Counts, err error) {
	names := metrics.Names{Requests: w.plan.RequestsMetric}
	pods, err := w.router.CanaryPods(ctx)
	if err != nil {
		return nil, nil, err
	}
	if beside, err = metrics.Count(ctx, w.Cluster, w.plan.Port, deploy.MetricsPath, names, pods); err != nil {
		return nil, nil, err
	}
	if pods, err = w.router.LivePods(ctx); err != nil {
		return nil, nil, err
	}
	live, err = metrics.Count(ctx, w.Cluster, w.plan.Port, deploy.MetricsPath, names, pods)
	return live, beside, err
}

// evidence is a test for the moment at which requests begin to follow another
// weight (a CUSUM of log-likelihood ratios): what came before that moment does
// not count against it.
type evidence struct {
	before, weight float64
	score          float64
	live, beside   float64 // requests since the score was last zero
	all            float64 // requests since the beginning
}

const (
	surely   = 4.6   // the new weight is a hundred times likelier than the old
	almost   = 0.002 // what none, or all, of the requests is taken for: some are late
	fewest   = 10    // requests
	variance = 3     // standard deviations that a share may be off, and
	offset   = 0.02  // what gateways are off by themselves
)

func newEvidence(before, weight int) *evidence {
	likely := func(w int) float64 { return min(1-almost, max(almost, float64(w)/100)) }
	return &evidence{before: likely(before), weight: likely(weight)}
}

// add takes in the requests of one look.
func (e *evidence) add(live, beside float64) {
	e.all += live + beside
	e.live, e.beside = e.live+live, e.beside+beside
	e.score += beside*math.Log(e.weight/e.before) + live*math.Log((1-e.weight)/(1-e.before))
	if e.score <= 0 {
		e.score, e.live, e.beside = 0, 0, 0
	}
}

func (e *evidence) share() float64 {
	if e.live+e.beside == 0 {
		return e.before
	}
	return e.beside / (e.live + e.beside)
}

// holds says that the requests follow the new weight, and are near to it.
func (e *evidence) holds() bool {
	n := e.live + e.beside
	return n >= fewest && e.score >= surely &&
		math.Abs(e.share()-e.weight) <= variance*math.Sqrt(e.weight*(1-e.weight)/n)+offset
}

func (e *evidence) String() string {
	return fmt.Sprintf("%.0f of %.0f (%.1f%%)", e.beside, e.live+e.beside, 100*e.share())
}
