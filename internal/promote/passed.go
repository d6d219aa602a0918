package promote

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

// Images tells of what an image consists.
type Images interface {
	// Parts is the manifests that an index names; none for what is no index.
	Parts(ctx context.Context, image name.Digest) ([]v1.Hash, error)
}

// Passed finds what may be promoted: the release that is live in the
// environment and passed every check there, and that its pods really run. A
// given image is found by its digest, and must have passed there when it was
// released last; where that release is not live any more, there are no pods to
// compare. The error says why not.
func Passed(ctx context.Context, from deploy.Target, image string, images Images) (release.Record, error) {
	store := history.Open(from.Cluster, from.Service, from.Environment, from.Namespace)
	h, err := store.List(ctx)
	if err != nil {
		return release.Record{}, &deploy.Refusal{Reason: fmt.Sprintf("read the history of %s in %s", from.Service, from.Environment), Err: err}
	}
	r, err := passed(h, from, image)
	if err != nil {
		return release.Record{}, err
	}
	if live, ok := h.Live(); len(h.Underway()) > 0 || !ok || live.Revision != r.Revision {
		from.Log.Linef("release %d of %s passed in %s, and another one is live there or on its way: no pods are left to compare it with", r.Revision, from.Service, from.Environment)
		return r, nil
	}
	return r, runs(ctx, from, r, images)
}

// passed is the rule, pure.
func passed(h release.History, from deploy.Target, image string) (release.Record, error) {
	where := from.Service + " in " + from.Environment
	if image != "" {
		return passedAs(h, where, image)
	}
	live, ok := h.Live()
	switch under := h.Underway(); {
	case len(under) > 0:
		return changing(under[0], where)
	case !ok:
		return refuse("run deploy-staging first", "nothing of %s was ever released", where)
	case live.Status != release.Succeeded:
		return refuse("mend it and deploy again", "release %d of %s is live but %s: %s", live.Revision, where, live.Status, live.Failure)
	case live.Relapsed():
		return relapsed(live, where)
	}
	return live, nil
}

// passedAs is the newest release of the image, where that passed.
func passedAs(h release.History, where, image string) (release.Record, error) {
	given, err := name.NewDigest(image)
	if err != nil {
		return refuse("", "%q is no image by digest", image)
	}
	newest := slices.IndexFunc(h, func(r release.Record) bool {
		held, err := name.NewDigest(r.Image)
		return err == nil && held.DigestStr() == given.DigestStr()
	})
	switch {
	case len(h) == 0:
		return refuse("run deploy-staging first", "nothing of %s was ever released", where)
	case newest < 0:
		return refuse("deploy it there first", "image %s was never released as %s", image, where)
	}
	switch r := h[newest]; {
	case r.Status == release.Underway:
		return changing(r, where)
	case r.Status != release.Succeeded:
		return refuse("mend it, then deploy it there first", "image %s did not pass as %s: release %d is %s: %s", image, where, r.Revision, r.Status, r.Failure)
	case r.Relapsed():
		return relapsed(r, where)
	default:
		return r, nil
	}
}

func refuse(advice, format string, args ...any) (release.Record, error) {
	return release.Record{}, &deploy.Refusal{Reason: fmt.Sprintf(format, args...), Advice: advice}
}

func changing(r release.Record, where string) (release.Record, error) {
	return refuse("run this again when that deploy has ended; if its run died, run deploy-staging once more: it settles what was left",
		"release %d of %s is under way (step %q): what is live there is changing", r.Revision, where, r.Step)
}

func relapsed(r release.Record, where string) (release.Record, error) {
	return refuse("mend it and deploy again; or run deploy-staging once more as it is: if its tests pass, it may be promoted",
		"release %d of %s passed, but not when it was tested again at %s: %s", r.Revision, where, r.Recheck.At.Format(time.DateTime), r.Recheck.Failure)
}

// runs makes sure that what the record says is what the pods were told to run,
// and what their nodes say that they run: somebody may have changed it by hand.
func runs(ctx context.Context, from deploy.Target, r release.Record, images Images) error {
	want, err := name.NewDigest(r.Image)
	if err != nil {
		return &deploy.Refusal{Reason: fmt.Sprintf("release %d names no image by digest: %q", r.Revision, r.Image)}
	}
	pods, err := deploy.Pods(ctx, from.Cluster, r)
	if err != nil {
		return &deploy.Refusal{Reason: fmt.Sprintf("read the pods of %s in %s", from.Service, from.Environment), Err: err}
	}
	told, err := templates(ctx, from, r)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		from.Log.Linef("%s in %s has no pods at present: what its workloads are told to run is compared", from.Service, from.Environment)
	}
	pods = append(pods, told...)
	other, found := otherImage(pods, want)
	if found && other.running {
		// Of an image for several platforms a node may name its own.
		parts, err := images.Parts(ctx, want)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			from.Log.Linef("%s says that it runs %s; whether that is a part of %s could not be asked: %v", other.pod, other.image, r.Image, err)
			return nil
		}
		other, found = otherImage(pods, want, parts...)
	}
	if !found {
		return nil
	}
	return &deploy.Refusal{
		Reason: fmt.Sprintf("%s of %s in %s runs %s, but release %d, which passed, is %s", other.pod, from.Service, from.Environment, other.image, r.Revision, r.Image),
		Advice: "somebody changed it by hand: deploy it there again",
	}
}

// templates is what the workloads of a release are told to run, as pods that
// have no status: an environment may sleep at night, and somebody may have
// changed it all the same. A release none of whose workloads is there any more
// is refused.
func templates(ctx context.Context, from deploy.Target, r release.Record) ([]corev1.Pod, error) {
	workloads := deploy.Workloads(r.Objects)
	var told []corev1.Pod
	for _, o := range workloads {
		u, err := from.Cluster.Get(ctx, o)
		if err != nil {
			return nil, &deploy.Refusal{Reason: fmt.Sprintf("read %s in %s", o, from.Environment), Err: err}
		}
		if u == nil {
			continue
		}
		pod := corev1.Pod{TypeMeta: metav1.TypeMeta{Kind: o.Kind}, ObjectMeta: metav1.ObjectMeta{Name: o.Name}}
		spec, _, _ := unstructured.NestedMap(u.Object, "spec", "template", "spec")
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &pod.Spec); err != nil {
			return nil, &deploy.Refusal{Reason: fmt.Sprintf("read %s in %s", o, from.Environment), Err: err}
		}
		told = append(told, pod)
	}
	if len(told) == 0 && len(workloads) > 0 {
		return nil, &deploy.Refusal{
			Reason: fmt.Sprintf("release %d of %s passed in %s, but nothing of it is there any more", r.Revision, from.Service, from.Environment),
			Advice: "deploy it there again",
		}
	}
	return told, nil
}

// named is a pod, or the workload that stands for its pods.
func named(pod corev1.Pod) string {
	if pod.Kind != "" {
		return pod.Kind + " " + pod.Name
	}
	return "pod " + pod.Name
}

// other is an image that a pod runs and that is not the one wanted.
type other struct {
	pod     string // "pod web-1", or "Deployment web" whose template it is
	image   string
	running bool // as its node says; else as it was told to
}

// otherImage finds a container of the wanted image's repository that is told to
// run another digest, or runs another; parts are as good as the image itself.
// What a runtime says by anything but a digest is no statement.
func otherImage(pods []corev1.Pod, want name.Digest, parts ...v1.Hash) (other, bool) {
	for _, pod := range pods {
		says := make(map[string]string)
		for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			says[s.Name] = s.ImageID
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			ref, err := name.ParseReference(c.Image)
			if err != nil || ref.Context() != want.Context() {
				continue
			}
			if ref.Identifier() != want.DigestStr() {
				return other{pod: named(pod), image: c.Image}, true
			}
			_, digest, ok := strings.Cut(says[c.Name], "@")
			same := digest == want.DigestStr() || slices.ContainsFunc(parts, func(h v1.Hash) bool { return h.String() == digest })
			if ok && !same {
				return other{pod: named(pod), image: says[c.Name], running: true}, true
			}
		}
	}
	return other{}, false
}
