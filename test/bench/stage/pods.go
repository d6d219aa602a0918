package stage

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Replicas is how many pods serve the users of a place.
const Replicas = 4

// Every looks 40 times a second until it is so.
func Every(ctx context.Context, ok func(context.Context) (bool, error)) error {
	return wait.PollUntilContextCancel(ctx, 25*time.Millisecond, true, ok)
}

// Until looks at the place's pods again and again, by the stage's own way to
// the cluster.
func (p *Place) Until(ctx context.Context, ok func([]corev1.Pod) bool) error {
	return Every(ctx, func(ctx context.Context) (bool, error) {
		list, err := p.Client.Kube.CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{})
		return err == nil && ok(list.Items), err
	})
}

// Quiet waits until nothing is left of an earlier change: all that there is are
// as many pods as there should be, and all are ready.
func (p *Place) Quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := p.Until(ctx, func(pods []corev1.Pod) bool { return len(pods) == Replicas && allReady(pods) }); err != nil {
		return fmt.Errorf("wait for the end of an earlier change: %w", err)
	}
	return nil
}

// Serving says whether all pods that are not ending are of the image and ready.
func Serving(pods []corev1.Pod, image string) bool {
	staying := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	other := func(pod corev1.Pod) bool { return pod.Spec.Containers[0].Image != image }
	return len(staying) == Replicas && !slices.ContainsFunc(staying, other) && allReady(staying)
}

// allReady says so of pods that are not ending.
func allReady(pods []corev1.Pod) bool {
	return !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
}
