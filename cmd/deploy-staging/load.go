package main

import (
	"context"
	"errors"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/load"
)

var (
	loaded = action.Parsed(spec, "load", "text", "a load at a constant rate, however slow the answers are: `rate=200 duration=30s path=/orders [method=GET] [warm-up=3s] [timeout=10s] [workers=4]`", load.ParseSpec,
		action.Example("rate=200 duration=30s path=/orders"))
	loadFrom   = spec.Choice("load-from", "who sends it: workers in the cluster, or the runner through the API server, which is slower than the service", []string{"runner", "cluster"}, action.Default("cluster"))
	thresholds = action.ListOf(spec, "thresholds", "checks on the load test, `<metric> < <value>` or `<metric> worse-than baseline by <value>`, which compares with the last release's", parseThreshold,
		action.Example("p95 < 250ms"))
	toolImage = action.Parsed(spec, "tool-image", "text", "what load workers run in the cluster: the published `deploy` image of this major version, or a copy of it", target.Reference,
		action.Default("ghcr.io/fibership/deploy:v1"))
)

func parseThreshold(line string) (analysis.Check, error) {
	check, err := analysis.Parse(line)
	if err == nil && check.Metric == analysis.Query {
		err = errors.New("expected what a load test measures: query(…) is none of it")
	}
	return check, err
}

// loadTest is the load test that the inputs describe, nil where they ask for none.
func loadTest(ctx context.Context, r *action.Run, front deploy.Front) (deploy.Test, error) {
	if loaded.Rate == 0 {
		return nil, nil
	}
	test := deploy.LoadTest{Spec: *loaded, Front: front, Thresholds: *thresholds}
	if *loadFrom == "runner" {
		return test, nil
	}
	image, err := in.Images(r).Digest(ctx, *toolImage)
	if err != nil {
		return nil, target.Unresolved("tool-image", *toolImage, err)
	}
	test.Workers, err = deploy.NewWorkers(*loaded, front, image.String(), files.PullSecret())
	return test, err
}
