package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/promote"
)

// probeRate is how many requests a second probes send to each version.
const probeRate = 10

// parseCheck takes what can be said of a version that is live beside another.
func parseCheck(line string) (analysis.Check, error) {
	c, err := analysis.Parse(line)
	if err == nil && c.Baseline && c.Metric == analysis.Rate {
		return c, errors.New("how many requests a version gets beside another follows from its weight and says nothing of how good it is: compare error-rate or a latency, or give a limit such as rate > 10/s (deploy-staging compares the rate, in its load test)")
	}
	return c, err
}

// compared refuses checks that compare where nothing would stand beside that
// could be compared with: they would be passed over.
func compared(strategy promote.Strategy, steps []int, checks []analysis.Check) error {
	why := ""
	switch {
	case strategy == promote.Rolling:
		why = "under strategy: rolling nothing stands beside the new version to compare with"
	case strategy == promote.BlueGreen:
		why = "under strategy: blue-green there is nothing to compare with: of the two versions only one has traffic at a time"
	case len(steps) == 0:
		why = "with steps: 100% nothing stands beside the new version to compare with"
	default:
		return nil
	}
	for _, c := range checks {
		if c.Baseline {
			return action.WrongInput("analysis", fmt.Errorf("%q compares, and %s: expected a limit such as error-rate < 1%%, or strategy: canary with steps below 100%%", c.Text, why))
		}
	}
	return nil
}

// measured is where the numbers come from. Checks on restarts alone need no
// request and no metrics. A Prometheus that does not answer is told here,
// before anything is changed.
func measured(ctx context.Context, r *action.Run, t deploy.Target, files *target.Manifests) (metrics.Source, error) {
	requests, queries := measures()
	server, err := prometheus(ctx, r, t, queries)
	if err != nil {
		return nil, err
	}
	names := metrics.Names{Requests: *requestsMetric, Latency: *latencyMetric}
	var measured metrics.Source
	switch {
	case !requests:
		measured = metrics.RestartsOnly{}
	case *source == "probe":
		measured = metrics.Probe(t.Cluster, *files.Port, *files.Readiness, probeRate, r.Log)
	case *source == "prometheus":
		measured = server.Source(names)
	default:
		measured = metrics.Pods(t.Cluster, *files.Port, "/metrics", names, r.Log)
	}
	if len(queries) > 0 {
		measured = server.Queried(measured, queries, t.Service, t.Namespace)
	}
	return measured, nil
}

// measures is what the checks ask for: what is counted of requests, and queries.
func measures() (requests bool, queries []string) {
	for _, c := range *checks {
		switch c.Metric {
		case analysis.Query:
			queries = append(queries, c.Query)
		case analysis.Restarts:
		default:
			requests = true
		}
	}
	return requests, queries
}

// asksPrometheus says whether a check needs it.
func asksPrometheus() bool {
	requests, queries := measures()
	return requests && *source == "prometheus" || len(queries) > 0
}

// prometheus is the server to ask, nil where nobody asks it.
func prometheus(ctx context.Context, r *action.Run, t deploy.Target, queries []string) (*metrics.Server, error) {
	if !asksPrometheus() {
		return nil, nil
	}
	server, err := metrics.NewServer(*prometheusURL, prometheusToken.Reveal(), t.Cluster, shortest(*stepDuration, *watch), r.Log)
	if err != nil {
		return nil, err
	}
	if err := server.Check(ctx, queries); err != nil {
		return nil, &deploy.Refusal{
			Reason: "the analysis cannot be made, so nothing was begun: " + (*prometheusURL).Redacted(), Err: err,
			Advice: "check prometheus-url, prometheus-token and whether it can be reached from here",
		}
	}
	return server, nil
}

// shortest is the least of those that last.
func shortest(durations ...time.Duration) time.Duration {
	least := time.Duration(0)
	for _, d := range durations {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}
