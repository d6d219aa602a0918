package target

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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
	env        *[]string
	envFrom    *[]string
	pullSecret *string
	Readiness  *string
	liveness   *string
	cpu        *string
	memory     *string
	Host       *string
	gateway    *string
	before     *string
	flags      *string
	file       *flags.File // what flags names, nil: nothing, or not read yet
}

// DeclareManifests declares them.
func DeclareManifests(s *action.Spec) *Manifests {
	return &Manifests{
		paths: s.List("manifests", "files, folders, globs or a kustomization's folder; every container whose image has the repository of `image`, or is the word `IMAGE`, gets the digest",
			action.DefaultText("a Deployment, Service and PodDisruptionBudget made from the inputs below"), action.Example("deploy/production")),
		Port:       s.Number("port", "what the service listens on; also given to it as `PORT`", action.Default("3000"), action.Example("8080")),
		replicas:   s.Number("replicas", "how many pods", action.Default("2"), action.Example("3")),
		env:        s.List("env", "environment of the service, `NAME=value` a line", action.Example("LOG_LEVEL=info")),
		envFrom:    s.List("env-from", "environment from `secret/NAME` or `configmap/NAME`, one a line", action.Example("secret/orders")),
		pullSecret: s.Text("image-pull-secret", "the name of the Secret to pull the image with"),
		Readiness:  s.Text("readiness-path", "what answers when the service is ready", action.Default("/readyz")),
		liveness:   s.Text("liveness-path", "what answers while the service lives", action.Default("/livez")),
		cpu:        s.Text("cpu", "CPU request", action.Default("100m")),
		memory:     s.Text("memory", "memory request and limit", action.Default("128Mi")),
		Host:       s.Text("host", "a host name: an HTTPRoute for it is made on `gateway`", action.Example("orders.example.com")),
		gateway:    s.Text("gateway", "the Gateway for `host`", action.Example("infra/public")),
		before: s.Text("before", "a manifest of a Job that must succeed before any object is changed (a migration); its log is streamed. Annotated `fibership.dev/barrier: \"true\"`, no rollback crosses this release",
			action.Example("deploy/migrate.yaml")),
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

// Before is the Job that goes before the release, nil where none was given.
func (m *Manifests) Before(ctx context.Context, r *action.Run) (*jobs.Job, error) {
	return Job(ctx, r, "before", *m.before)
}

// Job reads the Job that an input names, nil where it names none.
func Job(ctx context.Context, r *action.Run, input, path string) (*jobs.Job, error) {
	if path == "" {
		return nil, nil
	}
	job, err := jobs.Load(ctx, r.Event.Workspace, path, input)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", input, err)
	}
	return job, nil
}

// HasFlags says whether a flag file was given.
func (m *Manifests) HasFlags() bool { return *m.flags != "" }

// FlagFile is the flag file that goes with the release, nil where none was
// given. Call it before Objects.
func (m *Manifests) FlagFile(r *action.Run) (*flags.File, error) {
	if *m.flags == "" {
		return nil, nil
	}
	text, err := manifests.Read(r.Event.Workspace, *m.flags)
	if err == nil {
		m.file, err = flags.Parse(*m.flags, text)
	}
	if err != nil {
		return nil, fmt.Errorf("input flags: %w", err)
	}
	return m.file, nil
}

// Objects is the whole of a release, ready to be applied, in order; the Jobs
// that run beside it (nil ones are none) are filled in as its own objects are.
// It also says where they were written. Its linter's warnings are annotated where the manifests were written.
func (m *Manifests) Objects(ctx context.Context, r *action.Run, t deploy.Target, image name.Digest, beside ...*jobs.Job) ([]*unstructured.Unstructured, deploy.Places, error) {
	objects, err := m.load(ctx, r, t, image)
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
		return nil, nil, err
	}
	if _, err := manifests.Fill(objects, image.Context().String(), image.String()); err != nil {
		return nil, nil, err
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

// load reads or makes the objects, the flags' among them.
func (m *Manifests) load(ctx context.Context, r *action.Run, t deploy.Target, image name.Digest) ([]manifests.Object, error) {
	objects, err := m.own(ctx, r, t, image)
	if err != nil || m.file == nil {
		return objects, err
	}
	return manifests.WithFlags(objects, t.Service, m.file)
}

func (m *Manifests) own(ctx context.Context, r *action.Run, t deploy.Target, image name.Digest) ([]manifests.Object, error) {
	if len(*m.paths) > 0 {
		objects, err := manifests.Load(ctx, r.Event.Workspace, *m.paths)
		if err == nil && len(objects) == 0 {
			err = fmt.Errorf("no object in %v", *m.paths)
		}
		return objects, err
	}
	return manifests.Generate(manifests.Service{
		Name: t.Service, Namespace: t.Namespace, Image: image.String(),
		Port: *m.Port, Replicas: *m.replicas, Env: *m.env, EnvFrom: *m.envFrom, PullSecret: *m.pullSecret,
		ReadinessPath: *m.Readiness, LivenessPath: *m.liveness, CPU: *m.cpu, Memory: *m.memory,
		Host: *m.Host, Gateway: *m.gateway, Flags: m.file != nil,
	})
}

// PullSecret is the name of the Secret to pull images with, empty where none
// was given.
func (m *Manifests) PullSecret() string { return *m.pullSecret }

// URL is where the service answers from outside, empty where no host was given.
func (m *Manifests) URL() string {
	if *m.Host == "" {
		return ""
	}
	return "https://" + *m.Host
}
