package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/preflight"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/registry"
	"github.com/fibership/fibership/internal/release"
)

// Images tells what an image in its registry is for. Its error is
// registry.NotFoundError where it surely is not there.
type Images interface {
	Platforms(ctx context.Context, image name.Digest) ([]v1.Platform, error)
}

// CheckImage refuses an image that is not in its registry, and tells the
// platforms of one that is; none where that is not known. Where the registry
// cannot be asked from here — it may be open to the cluster only — the kubelet
// will tell.
func CheckImage(ctx context.Context, images Images, image string, log progress.Log) ([]v1.Platform, error) {
	digest, err := name.NewDigest(image)
	if err != nil {
		return nil, &Refusal{Reason: fmt.Sprintf("%q is no image by digest", image), Err: err}
	}
	platforms, err := images.Platforms(ctx, digest)
	switch {
	case err == nil:
		return platforms, nil
	case registry.IsNotFound(err):
		return nil, &Refusal{
			Reason: "image " + image + " is not in its registry", Err: err,
			Advice: "build and push it again, or name another image",
		}
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	default:
		progress.Warn(log, "image not checked", fmt.Sprintf("whether %s exists could not be asked from here: %v", image, err))
		return nil, nil
	}
}

// Places says where objects were written, by their key.
type Places map[string]manifests.Object

// PlacesOf is the places of objects as they are named now.
func PlacesOf(objects []manifests.Object) Places {
	places := make(Places, len(objects))
	for _, o := range objects {
		places[release.Describe(o.Unstructured).Key()] = o
	}
	return places
}

// at puts an object's place before words about it.
func (p Places) at(u *unstructured.Unstructured, words string) string {
	if o, ok := p[release.Describe(u).Key()]; ok && o.File != "" {
		return o.Place() + ": " + words
	}
	return words
}

// Preflight refuses, before anything is written, what cannot work: what the API
// server does not take, and what it takes and whose pods could not be made or
// run. All is told at once. Objects that must be made anew, and may be, are
// marked so in changes.
func (s *Session) Preflight(ctx context.Context, p Plan, changes []Change) error {
	var problems []error
	checked, err := preflight.Check(ctx, s.Cluster, s.running(p, changes))
	if err != nil {
		return &Refusal{Reason: "look at what the release's pods need", Err: err}
	}
	for _, f := range checked.Findings {
		text := f.Object.GetKind() + " " + f.Object.GetName() + ": " + f.Text
		if f.Fatal {
			problems = append(problems, errors.New(p.Places.at(f.Object, text)))
			continue
		}
		note := progress.Annotation{Level: progress.Warning, Title: "preflight", Message: text}
		if o, ok := p.Places[release.Describe(f.Object).Key()]; ok {
			note.File, note.Line = o.File, o.Line
		}
		s.Log.Annotate(note)
	}
	if len(checked.Skipped) > 0 {
		s.Log.Linef("not looked at, for want of rights: %s", strings.Join(checked.Skipped, "; "))
	}
	problems = append(problems, s.foreign(p, changes)...)
	problems = append(problems, s.try(ctx, p, changes, checked.Requests)...)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := s.mayDelete(ctx, p, changes); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return &Refusal{Reason: "the release cannot work here, and nothing was changed", Err: err}
	}
	return nil
}

// foreign is the objects that are another service's. What nobody has claimed is
// taken over, and that is told.
func (s *Session) foreign(p Plan, changes []Change) (problems []error) {
	for _, c := range changes {
		switch {
		case c.owner != nil:
			problems = append(problems, placed{p.Places.at(c.Wanted, c.owner.Error()), c.owner})
		case c.newly:
			s.Log.Linef("%s is there already, made by others: it is taken over as the manifests say, and never deleted", c.Object)
		}
	}
	return problems
}

// mayDelete refuses where the right is missing to delete what the release
// removes, or what would have to go again if it failed: at its end it would be
// too late. It asks once for each kind.
func (s *Session) mayDelete(ctx context.Context, p Plan, changes []Change) error {
	var needs []cluster.Access
	for _, c := range changes {
		goes := c.Verb == Remove || c.Verb == Recreate || c.Verb == Create && !p.Keep
		if !goes || kept(c.Object) {
			continue
		}
		need, err := s.Cluster.May(ctx, "delete", c.Object)
		if _, unknown := errors.AsType[*cluster.UnknownKindError](err); unknown {
			continue // the release brings the kind
		}
		if err != nil {
			return fmt.Errorf("ask the API server for our rights: %w", err)
		}
		if !slices.Contains(needs, need) {
			needs = append(needs, need)
		}
	}
	missing, err := s.Cluster.Can(ctx, needs)
	if err != nil {
		return fmt.Errorf("ask the API server for our rights: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	return &Refusal{
		Reason: fmt.Sprintf("no right to %s in namespace %s, which the release, or taking it back, needs", list(missing), s.Namespace),
		Advice: "add these rules to the role of the kubeconfig's user:\n" + cluster.Rules(missing),
	}
}

// running is the release as its pods are looked at.
func (s *Session) running(p Plan, changes []Change) preflight.Release {
	r := preflight.Release{Namespace: s.Namespace, Objects: p.Objects, Image: p.Record.Image, Platforms: p.Platforms}
	if p.job() != nil {
		r.Beside = append(r.Beside, p.Before.Unstructured)
	}
	for _, c := range changes {
		if c.Live != nil && c.Verb != Leave {
			r.Replaced = append(r.Replaced, c.Live)
		}
	}
	return r
}

// made is what the release itself brings first: objects that live in it cannot
// be dry-run before it is there.
type made struct{ namespaces, kinds map[string]bool }

func makes(changes []Change) made {
	m := made{namespaces: make(map[string]bool), kinds: make(map[string]bool)}
	for _, c := range changes {
		if c.Verb != Create {
			continue
		}
		switch c.Object.Kind {
		case "Namespace":
			m.namespaces[c.Object.Name] = true
		case "CustomResourceDefinition":
			group, _, _ := unstructured.NestedString(c.Wanted.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(c.Wanted.Object, "spec", "names", "kind")
			m.kinds[group+"/"+kind] = true
		}
	}
	return m
}

func (m made) waitsFor(u *unstructured.Unstructured) bool {
	kind := u.GroupVersionKind()
	return m.namespaces[u.GetNamespace()] || m.kinds[kind.Group+"/"+kind.Kind]
}
