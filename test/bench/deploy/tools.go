package main

import (
	"context"
	"time"

	"github.com/fibership/fibership/test/bench/stage"
)

// tool is one way to deploy what is written in its place, and to wait until
// that serves. The step is that of an action alone; an error that is
// stage.ErrExit is the tool's verdict. It gives up after limit.
type tool struct {
	name   string
	deploy func(ctx context.Context, p *place, image string, limit time.Duration) (stage.Step, error)
}

// tools are what is compared, ours first.
var tools = []tool{
	{
		name: "Fibership `deploy-staging`",
		deploy: func(ctx context.Context, p *place, image string, limit time.Duration) (stage.Step, error) {
			return p.Action(ctx, "deploy-staging", 0, map[string]string{"image": image, "manifests": "web.yaml", "timeout": limit.String()})
		},
	},
	{
		name: "`kubectl apply` + `rollout status`",
		deploy: func(ctx context.Context, p *place, _ string, limit time.Duration) (stage.Step, error) {
			if err := p.Kubectl(ctx, "apply", "-f", "web.yaml"); err != nil {
				return stage.Step{}, err
			}
			return stage.Step{}, p.Kubectl(ctx, "rollout", "status", "deployment/web", "--timeout", limit.String())
		},
	},
	{
		name: "`helm upgrade --wait`",
		deploy: func(ctx context.Context, p *place, _ string, limit time.Duration) (stage.Step, error) {
			return stage.Step{}, p.Helm(ctx, "upgrade", "--install", "web", "chart", "--wait", "--timeout", limit.String())
		},
	},
}

// patience is what a good release is given.
const patience = 3 * time.Minute
