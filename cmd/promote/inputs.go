package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/promote"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
)

var spec = action.New("promote", action.Deploy, "Bring exactly what passed staging to production on Kubernetes, as a judged canary or at once, and take it back when it fails")

var (
	from = action.Parsed(spec, "from", "text", "the environment that the release must have passed", target.Environment,
		action.Default("staging"))
	fromNamespace  = action.Parsed(spec, "from-namespace", "text", "the namespace of `from`", target.Label, action.DefaultText("`from`"), action.Example("staging"))
	fromKubeconfig = spec.Secret("from-kubeconfig", "kubeconfig of `from`, where that is another cluster", action.DefaultText("`kubeconfig`"), action.Example("${{ secrets.STAGING_KUBECONFIG }}"))
	fromContext    = spec.Text("from-context", "context of `from`, where that is another cluster", action.DefaultText("`context`; the current one of `from-kubeconfig` where that is given"), action.Example("staging"))
	image          = action.Parsed(spec, "image", "text", "refused unless it passed in `from`", target.Reference,
		action.DefaultText("what is live and passed in `from`"), action.Example("ghcr.io/acme/orders@sha256:…"))
	strategy = spec.Choice("strategy", "how the new version takes over: pod by pod (`rolling`), by a growing share of traffic (`canary`), or beside in full size, checked, and switched to in one step (`blue-green`)", []string{string(promote.Rolling), string(promote.Canary), string(promote.BlueGreen)}, action.Default(string(promote.Canary)))
	steps    = action.WordsOf(spec, "steps", "weights of a canary; 100% is implied", promote.ParseSteps,
		action.Default("10%,50%"), action.Example("5%, 25%, 50%"))
	stepDuration = spec.Duration("step-duration", "how long each step is watched at the least", action.Default("1m"))
	traffics     = spec.Choice("traffic", "how weight is made true: by what the Service selects (`replicas`: a canary has its share of the pods), or by the weights of an HTTPRoute (`gateway`)",
		[]string{string(promote.Replicas), string(promote.Gateway)}, action.Default(string(promote.Replicas)))
	route  = spec.Text("route", "the HTTPRoute to steer, `name` or `namespace/name`; for `traffic: gateway`", action.DefaultText("the only one of the manifests"), action.Example("orders"))
	checks = action.ListOf(spec, "analysis", "checks, judged at each step and during the watch", parseCheck,
		action.Default("restarts < 1"), action.Example("error-rate < 1%"))
	source = spec.Choice("metrics", "measured by requests of our own (`probe`) or read from each pod's /metrics (`pods`), both through the API server, or from what a Prometheus has scraped (`prometheus`)",
		[]string{"probe", "pods", "prometheus"}, action.Default("pods"))
	prometheusURL = action.Parsed(spec, "prometheus-url", "text", "where Prometheus is, for `metrics: prometheus` and for query(…) in `analysis`; a service in the cluster is reached through the API server",
		metrics.ParseServerURL, action.Example("http://prometheus.monitoring.svc:9090"))
	prometheusToken = spec.Secret("prometheus-token", "a bearer token for it; with one it is reached directly", action.Example("${{ secrets.PROMETHEUS_TOKEN }}"))
	requestsMetric  = spec.Text("requests-metric", "the counter or histogram of requests, for `pods` and `prometheus`", action.DefaultText("recognised: OpenTelemetry's names and the usual ones"), action.Example("requests_total"))
	latencyMetric   = spec.Text("latency-metric", "the histogram of latency in seconds, likewise", action.DefaultText("recognised likewise"), action.Example("request_seconds"))
	watch           = spec.Duration("watch", "how long the new version is watched after it took over; failing then rolls back", action.Default("2m"))
	keepPrevious    = spec.Duration("keep-previous", "how long the previous version stays warm, without traffic, for an instant rollback", action.Default("0s"))
	ramp            = action.ListAs(spec, "ramp", "flags of `flags`, opened step by step once the image is out, each step watched for `step-duration` under the same analysis; what fails is closed again. A flag (its variant that is true) or flag=variant, and its shares", parseRamps,
		action.Example("new-checkout: 5%, 25%, 100%"))
	onInconclusive = spec.Choice("on-inconclusive", "what too little data to judge leads to",
		[]string{string(promote.AbortInconclusive), string(promote.HoldInconclusive), string(promote.AdvanceInconclusive)}, action.Default(string(promote.AbortInconclusive)))
	services = action.ListOf(spec, "services", "services that are promoted together, `service=image` a line, the image as in `image`: they advance together, and when one fails all return. Each has its own folder of its name below `manifests`", parseMember,
		action.Example("orders=ghcr.io/acme/orders@sha256:…"))
	in    = target.Declare(spec, "production")
	files = target.DeclareManifests(spec)
)

func init() {
	spec.Output("verdict", "pass, fail, inconclusive or none")
	spec.Output("services", "with `services`: each with its release, image, status, verdict and weight, JSON; the other outputs are the first one's")
	spec.Output("weight", "the share of traffic that the new version reached, in percent")
}

// read reads what the inputs name in the workspace and checks them beside each
// other: everything wrong is told before a cluster or a registry is asked.
func read(ctx context.Context, r *action.Run, t deploy.Target, files *target.Manifests) error {
	_, unreached := in.Other(r, "from-", *fromKubeconfig, *fromContext)
	_, unnamed := target.NamespaceOf("from-namespace", *fromNamespace, *from)
	errs := []error{files.Read(ctx, r, t.Service), unreached, unnamed, compared(promote.Strategy(*strategy), *steps, *checks)}
	wrong := func(input, expected string) { errs = append(errs, action.WrongInput(input, errors.New(expected))) }
	if *route != "" && promote.Traffic(*traffics) != promote.Gateway {
		wrong("route", "expected traffic: gateway beside it: nothing else steers a route")
	}
	if len(*ramp) > 0 && !files.HasFlags() {
		wrong("ramp", "expected the flag file in the input flags: there is none to open a flag of")
	}
	if _, err := ramped(files.FlagFile()); err != nil {
		errs = append(errs, err)
	}
	if asksPrometheus() && *prometheusURL == nil {
		wrong("prometheus-url", "expected where Prometheus is: `metrics: prometheus` and query(…) ask it")
	}
	return errors.Join(errs...)
}

// planned is the promotion that the inputs describe.
func planned(ctx context.Context, r *action.Run, t deploy.Target, image name.Reference, files *target.Manifests) (promote.Plan, error) {
	ramps, err := ramped(files.FlagFile())
	if err != nil {
		return promote.Plan{}, err
	}
	measured, err := measured(ctx, r, t, files)
	if err != nil {
		return promote.Plan{}, err
	}
	passed, err := candidate(ctx, r, t, image)
	if err != nil {
		return promote.Plan{}, err
	}
	digest, err := name.NewDigest(passed.Image)
	if err != nil {
		return promote.Plan{}, fmt.Errorf("release %d of %s: %w", passed.Revision, *from, err)
	}
	platforms, err := deploy.CheckImage(ctx, in.Images(r), passed.Image, r.Log)
	if err != nil {
		return promote.Plan{}, err
	}
	before := files.Before()
	objects, places, err := files.Objects(ctx, r, t, digest, before)
	if err != nil {
		return promote.Plan{}, err
	}
	if objects, err = steerable(t, objects); err != nil {
		return promote.Plan{}, err
	}
	record := in.Record(r, spec.Name, passed.Image)
	record.Strategy, record.URL = *strategy, files.URL()
	record.Commit, record.Ref, record.Committed = passed.Commit, passed.Ref, passed.Committed
	return promote.Plan{
		Plan:     deploy.Plan{Record: record, Objects: objects, Places: places, Platforms: platforms, Before: before, Flags: files.FlagFile(), Ramp: ramps, AllowOlder: *files.AllowOlder},
		Strategy: promote.Strategy(*strategy), Traffic: promote.Traffic(*traffics), Route: *route,
		Port: *files.Port, RequestsMetric: *requestsMetric, Probing: *source == "probe",
		Steps: *steps, StepDuration: *stepDuration, Watch: *watch, KeepPrevious: *keepPrevious,
		Checks: *checks, Source: measured, OnInconclusive: promote.Policy(*onInconclusive),
	}, nil
}

// steerable makes the release's objects ready for a gateway, where one is to
// steer: the second Service is there from the first release on.
func steerable(t deploy.Target, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if promote.Traffic(*traffics) != promote.Gateway {
		return objects, nil
	}
	front, err := deploy.FrontOf(t.Service, objects)
	if err != nil {
		return nil, err
	}
	objects, err = traffic.Permanent(objects, front.Object(), *route)
	if err != nil {
		return nil, &deploy.Refusal{
			Reason: "traffic cannot be steered by a gateway", Err: err,
			Advice: "name the HTTPRoute in the input route, add one to the manifests, or have one made by host and gateway",
		}
	}
	return objects, nil
}

// candidate is the release of the environment before that may be promoted.
func candidate(ctx context.Context, r *action.Run, t deploy.Target, image name.Reference) (release.Record, error) {
	origin := t
	var err error
	origin.Environment = *from
	if origin.Namespace, err = target.NamespaceOf("from-namespace", *fromNamespace, *from); err != nil {
		return release.Record{}, err
	}
	if c, err := in.Other(r, "from-", *fromKubeconfig, *fromContext); err != nil {
		return release.Record{}, err
	} else if c != nil {
		origin.Cluster = c
		r.Linef("%s is in cluster %s, by %s", *from, c.Server, c.Source)
	}
	given := ""
	if image != nil {
		digest, err := in.Images(r).Digest(ctx, image)
		if err != nil {
			return release.Record{}, target.Unresolved("image", image, err)
		}
		given = digest.String()
	}
	passed, err := promote.Passed(ctx, origin, given, in.Images(r))
	if err == nil {
		r.Linef("release %d of %s passed in %s: %s", passed.Revision, t.Service, *from, passed.Image)
	}
	return passed, err
}

// refused tells of a promotion that came to nothing.
func refused(r *action.Run) promote.Result {
	return promote.Result{Result: deploy.Result{Status: release.Refused, Record: in.Record(r, spec.Name, "")}}
}
