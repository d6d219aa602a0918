package promote

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

// Passed finds what may be promoted: the image of the release that is live in
// the environment and passed every check there, and that its pods really run.
// A given image must be that one, by digest. The error says why not.
func Passed(ctx context.Context, from deploy.Target, image string) (release.Record, error) {
	store := history.Open(from.Cluster, from.Service, from.Environment, from.Namespace)
	h, err := store.List(ctx)
	if err != nil {
		return release.Record{}, &deploy.Refusal{Reason: fmt.Sprintf("read the history of %s in %s", from.Service, from.Environment), Err: err}
	}
	r, err := passed(h, from, image)
	if err != nil {
		return release.Record{}, err
	}
	return r, runs(ctx, from, r)
}

// passed is the rule, pure.
func passed(h release.History, from deploy.Target, image string) (release.Record, error) {
	where := from.Service + " in " + from.Environment
	refuse := func(advice, format string, args ...any) (release.Record, error) {
		return release.Record{}, &deploy.Refusal{Reason: fmt.Sprintf(format, args...), Advice: advice}
	}
	live, ok := h.Live()
	switch under := h.Underway(); {
	case len(under) > 0:
		return refuse("run this again when that deploy has ended; if its run died, run deploy-staging once more: it settles what was left",
			"release %d of %s is under way (step %q): what is live there is changing", under[0].Revision, where, under[0].Step)
	case !ok:
		return refuse("run deploy-staging first", "nothing of %s was ever released", where)
	case live.Status != release.Succeeded:
		return refuse("mend it and deploy again", "release %d of %s is live but %s: %s", live.Revision, where, live.Status, live.Failure)
	}
	if image == "" {
		return live, nil
	}
	given, err := name.NewDigest(image)
	if err != nil {
		return refuse("", "%q is no image by digest", image)
	}
	if held, err := name.NewDigest(live.Image); err == nil && held.DigestStr() == given.DigestStr() {
		return live, nil
	}
	tried := slices.IndexFunc(h, func(r release.Record) bool {
		d, err := name.NewDigest(r.Image)
		return err == nil && d.DigestStr() == given.DigestStr()
	})
	if tried < 0 {
		return refuse("deploy it there first", "image %s was never released as %s", image, where)
	}
	if r := h[tried]; r.Status != release.Succeeded {
		return refuse("mend it, then deploy it there first", "image %s did not pass as %s: release %d is %s: %s", image, where, r.Revision, r.Status, r.Failure)
	}
	return refuse("deploy it there again, or promote what is live there by leaving image empty",
		"image %s passed as %s in release %d, but release %d with %s is live there now", image, where, h[tried].Revision, live.Revision, live.Image)
}

// runs makes sure that what the record says is what the pods were told to run:
// somebody may have changed it by hand.
func runs(ctx context.Context, from deploy.Target, r release.Record) error {
	want, err := name.NewDigest(r.Image)
	if err != nil {
		return &deploy.Refusal{Reason: fmt.Sprintf("release %d names no image by digest: %q", r.Revision, r.Image)}
	}
	pods, err := deploy.Pods(ctx, from.Cluster, r)
	if err != nil {
		return &deploy.Refusal{Reason: fmt.Sprintf("read the pods of %s in %s", from.Service, from.Environment), Err: err}
	}
	for _, pod := range pods {
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			ref, err := name.ParseReference(c.Image)
			if err == nil && ref.Context() == want.Context() && ref.Identifier() != want.DigestStr() {
				return &deploy.Refusal{
					Reason: fmt.Sprintf("pod %s of %s in %s runs %s, but release %d, which passed, is %s", pod.Name, from.Service, from.Environment, c.Image, r.Revision, r.Image),
					Advice: "somebody changed it by hand: deploy it there again",
				}
			}
		}
	}
	return nil
}
