package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// StepRamp is the step in which a flag is opened, followed by the flag and the
// share. The release itself has passed: whatever becomes of the flag, the way
// leads forwards.
const StepRamp = "ramp"

// FlagsAnnotation on a pod makes the kubelet bring a changed ConfigMap into it
// now, and not with its next round, up to a minute and more later.
const FlagsAnnotation = "fibership.dev/flags"

// Open opens the flag of the record's n-th ramp to a share in percent.
func (a *Attempt) Open(ctx context.Context, n, percent int) error {
	ramp := &a.Record.Ramp[n]
	ramp.Reached = percent
	if err := a.Step(ctx, fmt.Sprintf("%s %s %d%%", StepRamp, ramp.Flag, percent)); err != nil {
		return err
	}
	as := slices.Clone(a.Record.Ramp)
	as[n].Outcome = release.Open
	return a.setFlags(ctx, as)
}

// Close closes the flag of the record's n-th ramp, which failed, and returns
// those that were opened before it in the same release to what they were.
func (a *Attempt) Close(ctx context.Context, n int) error {
	for i := range a.Record.Ramp {
		ramp := &a.Record.Ramp[i]
		switch {
		case i == n:
			ramp.Outcome, ramp.Decided = release.Closed, time.Now().UTC()
		case ramp.Outcome == release.Open:
			ramp.Outcome = release.Returned
		}
	}
	return a.setFlags(ctx, a.Record.Ramp)
}

// setFlags makes the flags what the ramps say, in the cluster and soon in every
// pod of the release.
func (a *Attempt) setFlags(ctx context.Context, ramps []release.Ramp) error {
	objects := a.wanted()
	i, err := flagsObject(a.Service, objects)
	if err != nil {
		return err
	}
	u, err := opened(objects[i], ramps)
	if err != nil {
		return err
	}
	live, err := a.Cluster.Apply(ctx, u, options(u))
	if conflict := (*cluster.ConflictError)(nil); errors.As(err, &conflict) {
		a.Log.Linef("taking fields back: %v", conflict)
		live, err = a.Cluster.Apply(ctx, u, cluster.ApplyOptions{Force: true})
	}
	seen := &a.Record.Objects[i] // wanted objects stand first, in the same order
	if err != nil {
		return fmt.Errorf("apply %s: %w", seen, err)
	}
	hash := release.Describe(u).Hash
	seen.Now, seen.UID, seen.Seen = "", string(live.GetUID()), cluster.Seen(live)
	if hash != seen.Hash {
		seen.Now = hash
	}
	a.changes[i].Live = live
	a.nudge(ctx, u, hash)
	return nil
}

// nudgesAtOnce bounds the requests in flight.
const nudgesAtOnce = 8

// nudge marks every pod of the release that mounts the flags. Where that
// fails, the kubelet's next round does it.
func (a *Attempt) nudge(ctx context.Context, flags *unstructured.Unstructured, hash string) {
	pods, err := a.Pods(ctx)
	if err != nil {
		a.Log.Linef("the pods follow their flags only with the kubelet's next round, about a minute: %v", err)
		return
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{FlagsAnnotation: hash[:16]}}})
	if err != nil {
		panic(fmt.Sprintf("a patch of texts cannot be encoded: %v", err))
	}
	var group errgroup.Group
	group.SetLimit(nudgesAtOnce)
	for i := range pods {
		pod := &pods[i]
		if !mounts(pod, flags.GetName()) {
			continue
		}
		group.Go(func() error {
			_, err := a.Cluster.Kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: cluster.Manager})
			if err != nil && !apierrors.IsNotFound(err) {
				a.Log.Linef("pod %s follows its flags only with the kubelet's next round, about a minute: %v", pod.Name, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions tell their errors
}

func mounts(pod *corev1.Pod, configMap string) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		if v.Projected != nil {
			return slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool {
				return p.ConfigMap != nil && p.ConfigMap.Name == configMap
			})
		}
		return v.ConfigMap != nil && v.ConfigMap.Name == configMap
	})
}

// mayRamp refuses where pods may not be marked.
func (s *Session) mayRamp(ctx context.Context) error {
	missing, err := s.Cluster.Can(ctx, accesses(s.Namespace, "", "pods", "patch"))
	switch {
	case err != nil:
		return &Refusal{Reason: "ask the API server for our rights", Err: err}
	case len(missing) > 0:
		return &Refusal{
			Reason: fmt.Sprintf("no right to %s in namespace %s, which a ramp needs: a pod that is marked reads its flags at once", list(missing), s.Namespace),
			Advice: "add these rules to the role of the kubeconfig's user:\n" + cluster.Rules(missing),
		}
	}
	return nil
}

// Unramped is the error of a release that passed and serves, and whose flag
// did not pass.
type Unramped struct {
	Revision int
	Flag     string
	Cause    error
}

func (u *Unramped) Error() string {
	return fmt.Sprintf("%v; flag %s was closed again, release %d itself passed and stays", u.Cause, u.Flag, u.Revision)
}

// Next is the next step to take.
func (u *Unramped) Next() string {
	return fmt.Sprintf("mend what flag %s opens, deploy that, and promote it with the same ramp", u.Flag)
}

func (u *Unramped) Unwrap() error { return u.Cause }

// FailRamp ends a release whose n-th ramp failed with cause: the flag is
// closed first, then the release is finished. It outlives a cancel as Fail
// does; what it does not get done the next session does.
func (a *Attempt) FailRamp(ctx context.Context, n int, cause error) error {
	ramp := &a.Record.Ramp[n]
	flag := ramp.Flag
	cause = Because(ctx, cause)
	if lost(cause) {
		return fmt.Errorf("%w; whoever holds the lock now has closed flag %s or will", cause, flag)
	}
	limit := a.Timeout
	if ctx.Err() != nil && !gaveWay(ctx) {
		limit = grace
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	cause = a.Clean(cause)
	if err := a.Close(ctx, n); err != nil {
		return errors.Join(cause, fmt.Errorf("close flag %s: %w; the next run of any action closes it", flag, err))
	}
	ramp.Failure = firstLine(cause)
	a.Log.Linef("flag %s is closed", flag)
	if err := a.Finish(ctx); err != nil {
		return errors.Join(cause, fmt.Errorf("finish release %d: %w; the next run of any action does", a.Record.Revision, err))
	}
	return &Unramped{Revision: a.Record.Revision, Flag: flag, Cause: cause}
}

// settleRamp closes the flag that a dead run was opening, and finishes its
// release, which had passed before.
func (a *Attempt) settleRamp(ctx context.Context) error {
	n := slices.IndexFunc(a.Record.Ramp, func(r release.Ramp) bool {
		return r.Outcome == release.NotOpened && r.Reached > 0
	})
	if n >= 0 {
		if err := a.Close(ctx, n); err != nil {
			return err
		}
		a.Record.Ramp[n].Failure = fmt.Sprintf("the run died at step %q", a.Record.Step)
		a.Log.Linef("settled: flag %s is closed, release %d itself had passed and stays", a.Record.Ramp[n].Flag, a.Record.Revision)
	}
	return a.Finish(ctx)
}

// ramping says whether the release was opening a flag.
func ramping(step string) bool { return strings.HasPrefix(step, StepRamp+" ") }
