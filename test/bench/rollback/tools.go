package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/fibership/fibership/test/runner"
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
			return p.action(ctx, "deploy-staging", map[string]string{"image": p.images[version], "manifests": "web.yaml"})
		},
		back: func(ctx context.Context, p *place) error {
			return p.action(ctx, "rollback", map[string]string{"to": "previous"})
		},
	},
	{
		name: "`kubectl rollout undo` + `rollout status`",
		deploy: func(ctx context.Context, p *place, _ int) error {
			return p.sh(ctx, p.kubectl("apply", "-f", "web.yaml"), p.kubectl("rollout", "status", "deployment/web"))
		},
		back: func(ctx context.Context, p *place) error {
			return p.sh(ctx, p.kubectl("rollout", "undo", "deployment/web"), p.kubectl("rollout", "status", "deployment/web"))
		},
	},
	{
		name: "`helm rollback --wait`",
		deploy: func(ctx context.Context, p *place, _ int) error {
			return p.sh(ctx, p.helm("upgrade", "--install", "web", "chart", "--wait"))
		},
		back: func(ctx context.Context, p *place) error {
			// Each rollback is a new revision: the one before the last is the other version.
			return p.sh(ctx, p.helm("rollback", "web", strconv.Itoa(p.revision-1), "--wait"))
		},
	},
}

func (p *place) kubectl(arguments ...string) []string {
	return append([]string{"kubectl", "--namespace", p.namespace}, arguments...)
}

func (p *place) helm(arguments ...string) []string {
	return append([]string{filepath.Join(p.bin, "helm"), "--namespace", p.namespace}, arguments...)
}

func (p *place) action(ctx context.Context, name string, inputs map[string]string) error {
	all := map[string]string{"service": "web", "environment": "production", "namespace": p.namespace}
	for input, value := range inputs {
		all[input] = value
	}
	o, err := runner.Step{
		Binary: filepath.Join(p.bin, name), Inputs: all, Workspace: p.folder,
		Env: map[string]string{"GITHUB_REPOSITORY": "acme/web", "GITHUB_ACTOR": "bench"},
	}.Run(ctx)
	if err == nil && o.Exit != 0 {
		err = fmt.Errorf("%s ended with exit code %d; its log:\n%s", name, o.Exit, o.Log)
	}
	return err
}
