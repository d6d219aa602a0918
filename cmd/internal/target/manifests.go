package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/flags"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/manifests"
)

// Manifests are the inputs that say what a release is made of.
type Manifests struct {
	paths      *[]string
	Port       *int
	replicas   *int
	env        *[]manifests.Variable
	envFrom    *[]manifests.Source
	pullSecret *string
	Readiness  *string
	liveness   *string
	cpu        *string
	memory     *string
	Host       *string
	gateway    *manifests.GatewayName
	before     *string
	AllowOlder *bool
	flags      *string

	// What Read read.
	objects []manifests.Object // of paths
	job     *jobs.Job          // of before
	file    *flags.File        // of flags
	url     string
}

// DeclareManifests declares them.
func DeclareManifests(s *action.Spec) *Manifests {
	return &Manifests{
		paths: s.List("manifests", "files, folders, globs or a kustomization's folder; every container whose image has the repository of `image`, or is the word `IMAGE`, gets the digest",
			action.DefaultText("a Deployment, Service and PodDisruptionBudget made from the inputs below"), action.Example("deploy/production")),
		Port:     action.Parsed(s, "port", "number", "what the service listens on; also given to it as `PORT`", manifests.ParsePort, action.Default("3000"), action.Example("8080")),
		replicas: s.Number("replicas", "how many pods", action.Default("2"), action.Example("3")),
		env: action.ListAs(s, "env", "environment of the service, `NAME=value` a line", manifests.ParseEnv,
			action.HeldAs(manifests.EnvNames), action.Example("LOG_LEVEL=info")),
		envFrom:    action.ListOf(s, "env-from", "environment from `secret/NAME` or `configmap/NAME`, one a line", manifests.ParseSource, action.Example("secret/orders")),
		pullSecret: action.Parsed(s, "image-pull-secret", "text", "the name of the Secret to pull the image with", manifests.ParseName, action.Example("registry")),
		Readiness:  action.Parsed(s, "readiness-path", "text", "what answers when the service is ready", manifests.ParsePath, action.Default("/readyz")),
		liveness:   action.Parsed(s, "liveness-path", "text", "what answers while the service lives", manifests.ParsePath, action.Default("/livez")),
		cpu:        action.Parsed(s, "cpu", "text", "CPU request", manifests.ParseAmount, action.Default("100m")),
		memory:     action.Parsed(s, "memory", "text", "memory request and limit", manifests.ParseAmount, action.Default("128Mi")),
		Host: action.Parsed(s, "host", "text", "a host name: an HTTPRoute for it is made on `gateway`; beside `manifests`, one of them must have it", manifests.ParseHost,
			action.Example("orders.example.com")),
		gateway: action.Parsed(s, "gateway", "text", "the Gateway for `host`", manifests.ParseGateway, action.Example("infra/public")),
		before: s.Text("before", "a manifest of a Job that must succeed before any object is changed (a migration); its log is streamed. Annotated `fibership.dev/barrier: \"true\"`, no rollback crosses this release",
			action.Example("deploy/migrate.yaml")),
		AllowOlder: s.Bool("allow-older", "let a commit through that is older than the one live", action.Default("false")),
		flags: s.Text("flags", "a flagd flag file, JSON or YAML: released with the service as the ConfigMap `<service>-flags`; made manifests mount it at `/etc/flags` and point flagd's providers to it",
			action.Example("deploy/flags.json")),
	}
}

// Of is the inputs for one of several services: their manifests are in folders
// of their names, below the paths that are given.
func (m *Manifests) Of(service string) *Manifests {
	its := *m
	var paths []string
	for _, path := range *m.paths {
		paths = append(paths, strings.TrimSuffix(path, "/")+"/"+service)
	}
	its.paths = &paths
	return &its
}

// Read reads what the inputs name in the workspace; it asks neither a cluster
// nor a registry. What is wrong with an input, not with the content of a file,
// is an action.WrongInput; everything wrong is told at once.
func (m *Manifests) Read(ctx context.Context, r *action.Run, service string) error {
	var errs []error
	m.objects, m.url = nil, ""
	if len(*m.paths) == 0 {
		errs = append(errs, m.made(service))
	} else {
		errs = append(errs, m.given(ctx, r, service))
	}
	var err error
	m.job, err = Job(ctx, r, "before", *m.before)
	errs = append(errs, err)
	m.file, err = m.flagFile(r)
	return errors.Join(append(errs, err)...)
}

// made checks what manifests are made from.
func (m *Manifests) made(service string) error {
	var errs []error
	if service != "" && len(validation.IsDNS1035Label(service)) > 0 {
		errs = append(errs, action.WrongInput("service", fmt.Errorf("%q: expected a letter at its beginning, or manifests of its own: it is the name of a Service of Kubernetes", service)))
	}
	if *m.Host != "" && m.gateway.Name == "" {
		errs = append(errs, action.WrongInput("gateway", errors.New("expected the Gateway for host, as namespace/name")))
	}
	if *m.Host != "" && !strings.HasPrefix(*m.Host, "*") {
		m.url = "https://" + *m.Host
	}
	return errors.Join(errs...)
}

// given reads the manifests.
func (m *Manifests) given(ctx context.Context, r *action.Run, service string) error {
	var err error
	if m.objects, err = manifests.Load(ctx, r.Event.Workspace, *m.paths); err != nil {
		return unread("manifests", err)
	}
	plain := make([]*unstructured.Unstructured, 0, len(m.objects))
	hosts := false
	for _, o := range m.objects {
		plain = append(plain, o.Unstructured)
		names, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "hostnames")
		hosts = hosts || o.GetKind() == "HTTPRoute" && slices.Contains(names, *m.Host)
	}
	m.url = deploy.Address(service, plain)
	if *m.Host != "" && !hosts {
		return action.WrongInput("host", errors.New("expected to be left out, or an HTTPRoute for it among the manifests: none is made beside them"))
	}
	return nil
}

// unread tells a path that leads nowhere, which is a wrong input, from a file
// whose content is wrong.
func unread(input string, err error) error {
	var astray *manifests.PathError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &astray):
		return action.WrongInput(input, fmt.Errorf("expected what is there in the workspace: %w", astray))
	}
	return &deploy.Refusal{Reason: "input " + input, Err: err, Advice: "correct the file where it is named and run again; nothing was touched"}
}

// Before is the Job that goes before the release, nil where none was given.
func (m *Manifests) Before() *jobs.Job { return m.job }

// Job reads the Job that an input names, nil where it names none.
func Job(ctx context.Context, r *action.Run, input, path string) (*jobs.Job, error) {
	if path == "" {
		return nil, nil
	}
	job, err := jobs.Load(ctx, r.Event.Workspace, path, input)
	if err != nil {
		return nil, unread(input, err)
	}
	return job, nil
}

// HasFlags says whether a flag file was given.
func (m *Manifests) HasFlags() bool { return *m.flags != "" }

// FlagFile is the flag file that goes with the release, nil where none was
// given.
func (m *Manifests) FlagFile() *flags.File { return m.file }

func (m *Manifests) flagFile(r *action.Run) (*flags.File, error) {
	if *m.flags == "" {
		return nil, nil
	}
	text, err := manifests.Read(r.Event.Workspace, *m.flags)
	if err != nil {
		return nil, unread("flags", err)
	}
	file, err := flags.Parse(*m.flags, text)
	if err != nil {
		return nil, unread("flags", err)
	}
	return file, nil
}

// Objects is the whole of a release, ready to be applied, in order, of what
// Read read; the Jobs
// that run beside it (nil ones are none) are filled in as its own objects are.
// It also says where they were written. Its linter's warnings are annotated where the manifests were written.
func (m *Manifests) Objects(ctx context.Context, r *action.Run, t deploy.Target, image name.Digest, beside ...*jobs.Job) ([]*unstructured.Unstructured, deploy.Places, error) {
	objects, err := m.load(t, image)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			t.Cluster.Learn(o.Unstructured)
		}
	}
	scoped := func(u *unstructured.Unstructured) (bool, error) { return t.Cluster.Scoped(ctx, u) }
	if err := manifests.Place(objects, t.Namespace, scoped); err != nil {
		return nil, nil, &deploy.Refusal{
			Reason: "place the objects", Err: err,
			Advice: "correct the manifest, or install the kinds that it uses in the cluster and run again",
		}
	}
	if _, err := manifests.Fill(objects, image.Context().String(), image.String()); err != nil {
		return nil, nil, &deploy.Refusal{
			Reason: "put the image into the manifests", Err: err,
			Advice: "write the word IMAGE, or the repository of the input image, where the service's container names its image",
		}
	}
	manifests.DropScaled(objects)
	all := objects[:len(objects):len(objects)]
	for _, job := range beside {
		if job != nil {
			if job.GetNamespace() == "" {
				job.SetNamespace(t.Namespace)
			}
			all = append(all, job.Object)
		}
	}
	manifests.Version(all)
	manifests.Own(objects, deploy.Labels(t.Service, t.Environment))
	notes := manifests.Lint(objects)
	if m.file != nil {
		notes = append(notes, manifests.LintFlags(objects, t.Service)...)
	}
	for _, note := range notes {
		r.Annotate(note)
	}
	wanted := make([]*unstructured.Unstructured, 0, len(objects))
	for _, o := range objects {
		wanted = append(wanted, o.Unstructured)
	}
	cluster.Order(wanted)
	url := ""
	if front, err := deploy.FrontOf(t.Service, wanted); err == nil {
		url = front.URL()
	}
	for _, job := range beside {
		if job != nil {
			job.Fill(image.Context().String(), image.String(), url)
		}
	}
	return wanted, deploy.PlacesOf(all), nil
}

// load gives or makes the objects, the flags' among them.
func (m *Manifests) load(t deploy.Target, image name.Digest) ([]manifests.Object, error) {
	objects, err := m.objects, error(nil)
	if len(*m.paths) == 0 {
		objects, err = manifests.Generate(manifests.Service{
			Name: t.Service, Namespace: t.Namespace, Image: image.String(),
			Port: *m.Port, Replicas: *m.replicas, Env: *m.env, EnvFrom: *m.envFrom, PullSecret: *m.pullSecret,
			ReadinessPath: *m.Readiness, LivenessPath: *m.liveness, CPU: *m.cpu, Memory: *m.memory,
			Host: *m.Host, Gateway: *m.gateway, Flags: m.file != nil,
		})
	}
	if err != nil || m.file == nil {
		return objects, err
	}
	return manifests.WithFlags(objects, t.Service, m.file)
}

// PullSecret is the name of the Secret to pull images with, empty where none
// was given.
func (m *Manifests) PullSecret() string { return *m.pullSecret }

// URL is where the service answers from outside, of what Read read; empty where
// neither a host was given nor an HTTPRoute has one.
func (m *Manifests) URL() string { return m.url }
