package main

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/load"
	"github.com/fibership/fibership/internal/release"
)

var spec = action.New("deploy-staging", action.Deploy, "Deploy a Go service to staging on Kubernetes, wait until it serves and put it to the test; what fails is taken back")

var (
	image = action.Parsed(spec, "image", "text", "the image to deploy: build-image's output", target.Reference,
		action.Required(), action.Example("ghcr.io/acme/orders@sha256:…"))
	in          = target.Declare(spec, "staging")
	files       = target.DeclareManifests(spec)
	smoke       = action.ListOf(spec, "smoke-tests", "requests to the release through the API server, `METHOD /path => STATUS [contains \"text\"] [json .path == value]`", load.ParseSmoke, action.DefaultText("`GET <readiness-path> => 200`"), action.Example(`GET /orders => 200 json .orders == []`))
	integration = spec.Text("integration-tests", "a manifest of a Job that tests the release from inside the cluster; its log is streamed, its exit is the verdict. `IMAGE` and `SERVICE_URL` are filled in", action.Example("deploy/integration.yaml"))
	onFailure   = spec.Choice("on-failure", "what becomes of a release that fails", []string{"rollback", "keep"}, action.Default("rollback"))
)

// read reads what the inputs name in the workspace and checks them beside each
// other: everything wrong is told before a cluster or a registry is asked.
func read(ctx context.Context, r *action.Run, t deploy.Target) (*jobs.Job, error) {
	job, err := target.Job(ctx, r, "integration-tests", *integration)
	errs := []error{files.Read(ctx, r, t.Service), err}
	if loaded.Rate == 0 && len(*thresholds) > 0 {
		errs = append(errs, action.WrongInput("thresholds", errors.New("expected the input load beside them: there is nothing to judge")))
	}
	return job, errors.Join(errs...)
}

// planned is the release that the inputs describe; job is the integration
// tests, nil for none.
func planned(ctx context.Context, r *action.Run, t deploy.Target, job *jobs.Job) (deploy.Plan, error) {
	images := in.Images(r)
	digest, err := images.Digest(ctx, *image)
	if err != nil {
		return deploy.Plan{}, target.Unresolved("image", *image, err)
	}
	before := files.Before()
	objects, places, err := files.Objects(ctx, r, t, digest, before, job)
	if err != nil {
		return deploy.Plan{}, err
	}
	platforms, err := deploy.CheckImage(ctx, images, digest.String(), r.Log)
	if err != nil {
		return deploy.Plan{}, err
	}
	tests, err := tried(ctx, r, t, objects, job)
	record := in.Record(r, spec.Name, digest.String())
	record.URL = files.URL()
	return deploy.Plan{
		Record: record, Objects: objects, Places: places, Platforms: platforms, Before: before,
		Flags: files.FlagFile(), Tests: tests, Keep: *onFailure == "keep", AllowOlder: *files.AllowOlder,
	}, err
}

// tried is what the release is put to the test with, in order.
func tried(ctx context.Context, r *action.Run, t deploy.Target, objects []*unstructured.Unstructured, job *jobs.Job) ([]deploy.Test, error) {
	front, err := deploy.FrontOf(t.Service, objects)
	if err != nil {
		return nil, err
	}
	requests := *smoke
	if len(requests) == 0 {
		request, err := load.ParseSmoke("GET " + *files.Readiness + " => 200")
		if err != nil {
			return nil, action.WrongInput("readiness-path", err)
		}
		requests = []load.Smoke{request}
	}
	tests := []deploy.Test{deploy.Smoke(front, requests)}
	if job != nil {
		tests = append(tests, deploy.IntegrationTests(job))
	}
	heavy, err := loadTest(ctx, r, front)
	if heavy != nil {
		tests = append(tests, heavy)
	}
	return tests, err
}

// refused tells of a release that came to nothing.
func refused(r *action.Run) deploy.Result {
	given := ""
	if digest, ok := (*image).(name.Digest); ok {
		given = digest.String()
	}
	return deploy.Result{Status: release.Refused, Record: in.Record(r, spec.Name, given)}
}
