package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/registry"
)

// dryRunsAtOnce bounds the server's dry runs in flight.
const dryRunsAtOnce = 8

// Images tells whether an image is still in its registry. Its error is
// registry.NotFoundError where it surely is not.
type Images interface {
	Exists(ctx context.Context, image name.Digest) error
}

// CheckImage refuses an image that is not in its registry. Where the registry
// cannot be asked from here — it may be open to the cluster only — the kubelet
// will tell.
func CheckImage(ctx context.Context, images Images, image string, log progress.Log) error {
	digest, err := name.NewDigest(image)
	if err != nil {
		return &Refusal{Reason: fmt.Sprintf("%q is no image by digest", image), Err: err}
	}
	err = images.Exists(ctx, digest)
	switch {
	case err == nil:
		return nil
	case registry.IsNotFound(err):
		return &Refusal{
			Reason: "image " + image + " is not in its registry", Err: err,
			Advice: "build and push it again, or name another image",
		}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		progress.Warn(log, "image not checked", fmt.Sprintf("whether %s exists could not be asked from here: %v", image, err))
		return nil
	}
}

// Preflight lets the API server judge every object that would be sent, by its
// dry run: schema, admission, quota, rights and conflicts, all at once.
// Nothing is written.
func (s *Session) Preflight(ctx context.Context, changes []Change) error {
	scaled := s.autoscaled(ctx)
	errs := make([]error, len(changes))
	var group errgroup.Group
	group.SetLimit(dryRunsAtOnce)
	made := makes(changes)
	for i, c := range changes {
		if c.Verb != Create && c.Verb != Update || made.waitsFor(c.Wanted) {
			continue
		}
		group.Go(func() error {
			o := options(c.Wanted)
			o.DryRun = true
			_, err := s.Cluster.Apply(ctx, scaled.keep(c), o)
			if errors.Is(err, cluster.ErrNoDryRun) {
				progress.Warn(s.Log, "no dry run", fmt.Sprintf("%s: %v", c.Object, err))
				err = nil
			}
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", c.Object, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions keep their errors, so that all are told
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return &Refusal{Reason: "the API server refuses the release, and nothing was changed", Err: err}
	}
	return nil
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
