package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/fibership/fibership/test/runner"
)

// tool is one way to deploy what is written in its place, and to wait until
// that serves. What it says is written to log as it comes; an error that is
// errTold is its verdict. It gives up after limit.
type tool struct {
	name   string
	deploy func(ctx context.Context, p *place, image string, limit time.Duration, log io.Writer) error
}

// tools are what is compared, ours first.
var tools = []tool{
	{
		name: "Fibership `deploy-staging`",
		deploy: func(ctx context.Context, p *place, image string, limit time.Duration, log io.Writer) error {
			o, err := runner.Step{
				Binary: filepath.Join(p.Bin, "deploy-staging"), Workspace: p.folder, Log: log,
				Inputs: map[string]string{
					"service": "web", "namespace": p.namespace, "image": image, "manifests": "web.yaml",
					"kubeconfig": p.kubeconfig, "timeout": limit.String(),
				},
				Env: map[string]string{"GITHUB_REPOSITORY": "acme/web", "GITHUB_ACTOR": "bench"},
			}.Run(ctx)
			if err == nil && o.Exit != 0 {
				err = fmt.Errorf("%w: exit code %d; its log:\n%s", errTold, o.Exit, o.Log)
			}
			return err
		},
	},
	{
		name: "`kubectl apply` + `rollout status`",
		deploy: func(ctx context.Context, p *place, _ string, limit time.Duration, _ io.Writer) error {
			return p.sh(ctx,
				[]string{"kubectl", "--namespace", p.namespace, "apply", "-f", "web.yaml"},
				[]string{"kubectl", "--namespace", p.namespace, "rollout", "status", "deployment/web", "--timeout", limit.String()})
		},
	},
	{
		name: "`helm upgrade --wait`",
		deploy: func(ctx context.Context, p *place, _ string, limit time.Duration, _ io.Writer) error {
			return p.sh(ctx, []string{filepath.Join(p.Bin, "helm"), "--namespace", p.namespace, "upgrade", "--install", "web", "chart", "--wait", "--timeout", limit.String()})
		},
	},
}

// patience is what a good release is given.
const patience = 3 * time.Minute
