package kill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/flags"
	"github.com/fibership/fibership/internal/release"
)

// whole wants the environment to be on exactly one release, soon: pods that
// were taken down end by themselves.
func (l *lane) whole(ctx context.Context) (release.Record, error) {
	var last error
	for {
		live, err := l.look(ctx)
		if err == nil {
			return live, nil
		}
		if ctx.Err() == nil {
			last = err
		}
		if pause(ctx) != nil {
			return live, last
		}
	}
}

func (l *lane) look(ctx context.Context) (release.Record, error) {
	store := l.store()
	h, err := store.List(ctx)
	if err != nil {
		return release.Record{}, fmt.Errorf("history: %w", err)
	}
	live, ok := h.Live()
	if !ok {
		return live, errors.New("no release is live")
	}
	wanted, err := store.Objects(ctx, live)
	if err != nil {
		return live, fmt.Errorf("objects of release %d: %w", live.Revision, err)
	}
	return live, errors.Join(
		consistent(h),
		l.unlocked(ctx),
		l.objects(ctx, h, live, wanted),
		l.jobs(ctx, live),
		l.pods(ctx, live, wanted),
	)
}

// consistent: every release has ended, and each number is there once; of those
// beyond what is kept in any case only good ones are left.
func consistent(h release.History) error {
	for i, r := range h {
		switch {
		case r.Status == release.Underway:
			return fmt.Errorf("release %d is under way still (step %q)", r.Revision, r.Step)
		case r.Ended.IsZero():
			return fmt.Errorf("release %d is %s and has no end", r.Revision, r.Status)
		case r.Steered != nil:
			return fmt.Errorf("release %d is %s and its traffic is steered", r.Revision, r.Status)
		case len(r.Beside) > 0:
			return fmt.Errorf("release %d is %s and has %s beside it", r.Revision, r.Status, r.Beside[0])
		case i > 0 && h[i-1].Revision <= r.Revision,
			i > 0 && i < deploy.Keep && h[i-1].Revision != r.Revision+1:
			return fmt.Errorf("release %d follows on release %d", h[i-1].Revision, r.Revision)
		}
	}
	return nil
}

func (l *lane) unlocked(ctx context.Context) error {
	leases, err := l.client.Kube.CoordinationV1().Leases(l.target).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, lease := range leases.Items {
		if holder := lease.Spec.HolderIdentity; holder != nil && *holder != "" {
			return fmt.Errorf("the lock is held by %s", *holder)
		}
	}
	return nil
}

// objects: what bears our labels is the live release's, as it was recorded, or
// configuration of a release that can be restored, and nothing else.
func (l *lane) objects(ctx context.Context, h release.History, live release.Record, wanted []*unstructured.Unstructured) error {
	labels := map[string]string{"fibership.dev/service": service, "fibership.dev/environment": "production"}
	found, err := l.client.Live(ctx, l.target, labels, []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Version: "v1", Kind: "Service"},
		{Version: "v1", Kind: "ConfigMap"},
		{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "HTTPRoute"},
	})
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, u := range wanted {
		o := release.Describe(u)
		want[o.Key()] = true
		if u, err = opened(u, live.Ramp); err != nil {
			return err
		}
		there := found[o.Key()]
		if there == nil {
			return fmt.Errorf("%s of release %d is not there", o, live.Revision)
		}
		if path := missing(u.Object, there.Object); path != "" {
			return fmt.Errorf("%s is not as release %d has it: %s", o, live.Revision, path)
		}
		if o.Kind == "Service" && !selectsAlike(u, there) {
			return fmt.Errorf("%s selects something else than release %d says", o, live.Revision)
		}
	}
	for _, r := range h {
		for _, o := range r.Objects {
			if r.Status != release.Succeeded || !o.Versioned {
				continue
			}
			want[o.Key()] = true
			if found[o.Key()] == nil {
				return fmt.Errorf("%s, which release %d needs, is not there", o, r.Revision)
			}
		}
	}
	for key := range found {
		if !want[key] {
			return fmt.Errorf("%s is left over", key)
		}
	}
	return nil
}

// jobs: none runs any more but what keeps the release before the live one warm.
func (l *lane) jobs(ctx context.Context, live release.Record) error {
	jobs, err := l.client.Kube.BatchV1().Jobs(l.target).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range jobs.Items {
		name := jobs.Items[i].Name
		if live.Warm == nil || !slices.ContainsFunc(live.Warm.Objects, func(o release.Object) bool { return o.Name == name }) {
			return fmt.Errorf("the Job %s is left over", name)
		}
	}
	return nil
}

func selectsAlike(a, b *unstructured.Unstructured) bool {
	one, _, _ := unstructured.NestedStringMap(a.Object, "spec", "selector")
	other, _, _ := unstructured.NestedStringMap(b.Object, "spec", "selector")
	return maps.Equal(one, other)
}

// opened is the ConfigMap of the flags as the release's ramps left it; any
// other object as it is.
func opened(u *unstructured.Unstructured, ramps []release.Ramp) (*unstructured.Unstructured, error) {
	text, ok, _ := unstructured.NestedString(u.Object, "data", "flags.json")
	if !ok {
		return u, nil
	}
	file, err := flags.Read(text)
	for _, r := range ramps {
		if err != nil {
			return nil, err
		}
		switch r.Outcome {
		case release.Open:
			file, err = file.Open(r.Flag, r.Variant, r.Reached)
		case release.Closed:
			file, err = file.Open(r.Flag, r.Variant, 0)
		case release.NotOpened, release.Returned, release.Taken:
		}
	}
	if err != nil {
		return nil, err
	}
	u = u.DeepCopy()
	return u, unstructured.SetNestedField(u.Object, file.JSON(), "data", "flags.json")
}

// missing is where live lacks what want says; empty: nowhere. The server adds
// its defaults, so that live may say more.
func missing(want, live any) string {
	switch want := want.(type) {
	case map[string]any:
		have, ok := live.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is no map", live)
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if path := missing(want[key], have[key]); path != "" {
				return "." + key + path
			}
		}
		return ""
	case []any:
		have, ok := live.([]any)
		if !ok || len(have) != len(want) {
			return fmt.Sprintf(": %v, want %v", live, want)
		}
		for i := range want {
			if path := missing(want[i], have[i]); path != "" {
				return fmt.Sprintf("[%d]%s", i, path)
			}
		}
		return ""
	}
	if fmt.Sprint(want) != fmt.Sprint(live) {
		return fmt.Sprintf(": %v, want %v", live, want)
	}
	return ""
}

// pods: those that are not ending are the live release's, as many as it wants.
// Its configuration's name tells whose a pod is.
func (l *lane) pods(ctx context.Context, live release.Record, wanted []*unstructured.Unstructured) error {
	configuration := ""
	for _, u := range wanted {
		if u.GetKind() == "ConfigMap" && u.GetLabels()[release.VersionedLabel] == "true" {
			configuration = u.GetName()
		}
	}
	pods, err := l.client.Kube.CoreV1().Pods(l.target).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	n := 0
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil || ofJob(pod) {
			continue
		}
		n++
		c := pod.Spec.Containers[0]
		if c.Image != live.Image || from(c) != configuration {
			return fmt.Errorf("pod %s runs %s with %s; release %d is %s with %s", pod.Name, c.Image, from(c), live.Revision, live.Image, configuration)
		}
	}
	if n != 2 {
		return fmt.Errorf("%d pods of release %d, want 2", n, live.Revision)
	}
	return nil
}

// ofJob says that a pod is a Job's: that one is looked at itself.
func ofJob(pod corev1.Pod) bool {
	owner := metav1.GetControllerOf(&pod)
	return owner != nil && owner.Kind == "Job"
}

func from(c corev1.Container) string {
	for _, source := range c.EnvFrom {
		if source.ConfigMapRef != nil {
			return source.ConfigMapRef.Name
		}
	}
	return ""
}
