// Package target holds what the actions that change an environment share at
// the edge: the inputs that name a service in an environment and the manifests
// of a release, and the outputs and the summary that tell how it went.
package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/github"
	"github.com/fibership/fibership/internal/registry"
	"github.com/fibership/fibership/internal/release"
)

// patience is how long an outage of a registry is ridden out before a deploy.
const patience = 30 * time.Second

// Inputs name a service in an environment.
type Inputs struct {
	service     *string
	Environment *string
	namespace   *string
	kubeconfig  *action.Secret
	context     *string
	Timeout     *time.Duration
	DryRun      *bool
	deployment  *bool
	token       *action.Secret
}

// Declare declares the inputs that every such action has, and their outputs.
func Declare(s *action.Spec, environment string) *Inputs {
	in := &Inputs{
		service: action.Parsed(s, "service", "text", "the service's name; a DNS label", Label,
			action.DefaultText("the repository's name"), action.Example("orders")),
		Environment: action.Parsed(s, "environment", "text", "the environment that the action changes", Environment,
			action.Default(environment), action.Example(environment)),
		namespace: action.Parsed(s, "namespace", "text", "the namespace in the cluster", Label,
			action.DefaultText("the environment's name"), action.Example(environment)),
		kubeconfig: s.Secret("kubeconfig", "a kubeconfig's content, or the path of one",
			action.DefaultText("KUBECONFIG, then in-cluster"), action.Example("${{ secrets.KUBECONFIG }}")),
		context: s.Text("context", "the kubeconfig's context", action.DefaultText("the current one"), action.Example("production")),
		Timeout: s.Duration("timeout", "for the whole rollout", action.Default("5m")),
		DryRun:  s.Bool("dry-run", "print the plan and the difference, change nothing", action.Default("false")),
		deployment: s.Bool("github-deployment", "also record a GitHub deployment and its statuses, for jobs without `environment:`; the job needs `deployments: write`",
			action.Default("false")),
		token: s.Secret("github-token", "GitHub's token: to look into ghcr.io whether an image is there, and for `github-deployment`",
			action.Expression("${{ github.token }}")),
	}
	s.Output("release", "the release's number: 1, 2, 3 … for each service and environment")
	s.Output("image", "repository@sha256:…")
	s.Output("digest", "sha256:…")
	s.Output("previous-release", "the number of the release that was live before")
	s.Output("previous-image", "its image")
	s.Output("status", "succeeded, unchanged, planned, failed, rolled-back or refused")
	s.Output("url", "where the service answers, if a host was given or an HTTPRoute of the manifests has one")
	s.Output("checks", "each check and how it was judged, JSON")
	s.Output("record", "the release's record without its objects and without any secret, JSON")
	return in
}

// Label parses a DNS label.
func Label(text string) (string, error) {
	if problems := validation.IsDNS1123Label(text); len(problems) > 0 {
		return "", errors.New("expected a DNS label: at most 63 lower-case letters, digits and hyphens, a letter or digit at both ends")
	}
	return text, nil
}

// Environment parses an environment's name, as GitHub takes them.
// Source: https://docs.github.com/actions/how-tos/deploy/configure-and-manage-deployments/manage-environments
func Environment(text string) (string, error) {
	const most = 255
	if utf8.RuneCountInString(text) > most || strings.ContainsFunc(text, unicode.IsControl) {
		return "", fmt.Errorf("expected one line of at most %d characters", most)
	}
	return text, nil
}

// NamespaceOf is the namespace of an environment: the one given by the named
// input, else that of the environment's name.
func NamespaceOf(input, given, environment string) (string, error) {
	if given != "" {
		return given, nil
	}
	namespace, err := Label(environment)
	if err != nil {
		return "", action.WrongInput(input, fmt.Errorf("the environment's name %q is no namespace, give one: %w", environment, err))
	}
	return namespace, nil
}

// Target is the service in the environment, with the way to its cluster. No
// request is sent. Beside an error it holds what could be found.
func (in *Inputs) Target(r *action.Run) (deploy.Target, error) {
	service, err := in.Service(r)
	t, unreached := in.TargetOf(r, service)
	return t, errors.Join(err, unreached)
}

// TargetOf is a named service in the environment, likewise.
func (in *Inputs) TargetOf(r *action.Run, service string) (deploy.Target, error) {
	c, err := access{
		kubeconfig: *in.kubeconfig, context: *in.context, kubeconfigInput: "kubeconfig", contextInput: "context",
	}.connect(r)
	announcer, untold := in.announcer(r)
	namespace, unnamed := NamespaceOf("namespace", *in.namespace, *in.Environment)
	return deploy.Target{
		Service: service, Environment: *in.Environment, Namespace: namespace,
		Holder: holder(r), Timeout: *in.Timeout, Cluster: c, Log: r.Log, Announcer: announcer,
	}, errors.Join(err, unnamed, untold)
}

// Other is the cluster of another environment, whose own inputs begin with
// prefix: nil where they are empty. Where only its context is given, that is one
// of the kubeconfig that all is done with.
func (in *Inputs) Other(r *action.Run, prefix string, kubeconfig action.Secret, context string) (*cluster.Client, error) {
	if kubeconfig == "" && context == "" {
		return nil, nil
	}
	a := access{kubeconfig: kubeconfig, context: context, kubeconfigInput: prefix + "kubeconfig", contextInput: prefix + "context"}
	if kubeconfig == "" {
		a.kubeconfig, a.kubeconfigInput = *in.kubeconfig, "kubeconfig"
	}
	return a.connect(r)
}

// access is the inputs that a cluster is found by.
type access struct {
	kubeconfig                    action.Secret
	context                       string
	kubeconfigInput, contextInput string
}

// connect finds the cluster and hides what it brings from the log.
func (a access) connect(r *action.Run) (*cluster.Client, error) {
	c, err := cluster.Connect(cluster.Options{Kubeconfig: a.kubeconfig.Reveal(), Context: a.context, Input: a.kubeconfigInput})
	if wrong, is := errors.AsType[*cluster.ConfigError](err); is {
		input, cause := a.kubeconfigInput, error(wrong)
		if wrong.Context {
			input = a.contextInput
		} else if wrong.Source == "input "+input {
			cause = wrong.Err // the input is named already
		}
		return nil, action.WrongInput(input, cause)
	}
	if err != nil {
		return nil, err
	}
	for _, secret := range []string{c.REST.BearerToken, c.REST.Password, string(c.REST.KeyData)} {
		if secret != "" {
			r.Mask(secret)
		}
	}
	return c, nil
}

// Service is the service's name, by default the repository's.
func (in *Inputs) Service(r *action.Run) (string, error) {
	if *in.service != "" {
		return *in.service, nil
	}
	_, repository, _ := strings.Cut(r.Event.Repository, "/")
	service, err := Label(strings.ToLower(repository))
	switch {
	case repository == "":
		return "", action.WrongInput("service", errors.New("expected a service's name: outside GitHub there is no repository to take it from"))
	case err != nil:
		return "", action.WrongInput("service", fmt.Errorf("the repository's name %q cannot be used, give one: %w", repository, err))
	}
	return service, nil
}

// announcer tells GitHub of releases, where that is asked for.
func (in *Inputs) announcer(r *action.Run) (deploy.Announcer, error) {
	if !*in.deployment || *in.DryRun {
		return nil, nil
	}
	if r.Event.Repository == "" || r.Event.APIURL == "" || in.token.Reveal() == "" {
		return nil, action.WrongInput("github-deployment", errors.New("expected a run on GitHub, which tells the repository, and a github-token beside it"))
	}
	return &github.Deployments{
		API: r.Event.APIURL, Repository: r.Event.Repository, Token: in.token.Reveal(), Log: r.Log,
	}, nil
}

// Named says whether the input service was given.
func (in *Inputs) Named() bool { return *in.service != "" }

func holder(r *action.Run) string {
	switch {
	case r.Event.RunURL != "" && r.Event.Actor != "":
		return r.Event.Actor + " in " + r.Event.RunURL
	case r.Event.RunURL != "":
		return r.Event.RunURL
	case r.Event.Actor != "":
		return r.Event.Actor
	default:
		return "a terminal"
	}
}

// Record is who brings what and why, as far as the runner knows.
func (in *Inputs) Record(r *action.Run, by, image string) release.Record {
	return release.Record{
		Action: by, Image: image,
		Commit: r.Event.SHA, Committed: r.Event.Committed, Ref: r.Event.Ref, Actor: r.Event.Actor, Run: r.Event.RunURL,
	}
}

// Images asks registries for images, with the job's token where it counts.
func (in *Inputs) Images(r *action.Run) Images {
	return Images{registry.Options{
		Credentials: registry.Credentials{GitHubActor: r.Event.Actor, GitHubToken: in.token.Reveal()},
		Patience:    patience, Log: r.Log,
	}}
}

// Images asks registries for images.
type Images struct{ options registry.Options }

// Platforms is what the image is for.
func (i Images) Platforms(ctx context.Context, image name.Digest) ([]v1.Platform, error) {
	return registry.Platforms(ctx, image, i.options)
}

// Parts is the manifests that an index names; none for what is no index.
func (i Images) Parts(ctx context.Context, image name.Digest) ([]v1.Hash, error) {
	return registry.Parts(ctx, image, i.options)
}

// Digest resolves an image: a digest stays as it is, a tag is read once.
func (i Images) Digest(ctx context.Context, image name.Reference) (name.Digest, error) {
	return registry.Resolve(ctx, image, i.options)
}

// Unresolved is an image of an input that no digest could be found for.
func Unresolved(input string, image name.Reference, err error) error {
	refusal := &deploy.Refusal{Reason: fmt.Sprintf("find the digest of the input %s, %s", input, image), Err: err}
	var next interface{ Next() string }
	if !errors.As(err, &next) {
		refusal.Advice = fmt.Sprintf("check that %s is there and that its registry can be reached from here, or give repository@sha256:…, as build-image does", image)
	}
	return refusal
}

// untagged is repository@sha256:…, also of what was written with a tag before
// the digest: the tag says nothing beside it, and may have moved on.
func untagged(digest name.Digest) name.Digest {
	repository, _, _ := strings.Cut(digest.String(), "@")
	tagged, err := name.NewTag(repository, name.WithDefaultTag(""))
	if err != nil || tagged.TagStr() == "" {
		return digest
	}
	plain, err := name.NewDigest(strings.TrimSuffix(repository, ":"+tagged.TagStr()) + "@" + digest.DigestStr())
	if err != nil {
		return digest.Context().Digest(digest.DigestStr())
	}
	return plain
}

// Reference parses an image. A digest is given without a tag.
func Reference(text string) (name.Reference, error) {
	ref, err := name.ParseReference(text, name.WithDefaultTag(""))
	if err != nil {
		return nil, fmt.Errorf("expected an image, repository@sha256:… or repository:tag: %w", err)
	}
	if ref.Identifier() == "" {
		return nil, errors.New("expected a digest or a tag after the repository: an image without one is whatever was pushed last")
	}
	if digest, ok := ref.(name.Digest); ok {
		return untagged(digest), nil
	}
	return ref, nil
}
