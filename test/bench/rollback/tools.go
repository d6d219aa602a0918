package main

import (
	"context"
	"strconv"
)

// tool is one way to roll back.
type tool struct {
	name   string
	deploy func(ctx context.Context, p *place, version int) error
	// back goes to the version that is not live, and returns when the tool
	// says that it is done.
	back func(ctx context.Context, p *place) error
}

// tools are what is compared, ours first.
var tools = []tool{
	{
		name: "Fibership `rollback`",
		deploy: func(ctx context.Context, p *place, version int) error {
			_, err := p.Action(ctx, "deploy-staging", 0, map[string]string{
				"image": p.Images[version], "manifests": "web.yaml", "environment": "production",
			})
			return err
		},
		back: func(ctx context.Context, p *place) error {
			_, err := p.Action(ctx, "rollback", 0, map[string]string{"to": "previous", "environment": "production"})
			return err
		},
	},
	{
		name: "`kubectl rollout undo` + `rollout status`",
		deploy: func(ctx context.Context, p *place, _ int) error {
			if err := p.Kubectl(ctx, "apply", "-f", "web.yaml"); err != nil {
				return err
			}
			return p.Kubectl(ctx, "rollout", "status", "deployment/web")
		},
		back: func(ctx context.Context, p *place) error {
			if err := p.Kubectl(ctx, "rollout", "undo", "deployment/web"); err != nil {
				return err
			}
			return p.Kubectl(ctx, "rollout", "status", "deployment/web")
		},
	},
	{
		name: "`helm rollback --wait`",
		deploy: func(ctx context.Context, p *place, _ int) error {
			return p.Helm(ctx, "upgrade", "--install", "web", "chart", "--wait")
		},
		back: func(ctx context.Context, p *place) error {
			// Each rollback is a new revision: the one before the last is the other version.
			return p.Helm(ctx, "rollback", "web", strconv.Itoa(p.revision-1), "--wait")
		},
	},
}
