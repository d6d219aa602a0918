package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	apilabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

const (
	deadAfter = 30 * time.Second // after which it is asked whether the nodes of pods that do not end have died
	deadEvery = 10 * time.Second // and how often from then on
)

// LeftError says that pods of a Job that a dead run left do not end.
type LeftError struct {
	Job, Namespace string
	Pods           []string
	Err            error
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("job %s, which a run that died left behind: its pods %s do not end: %v", e.Job, strings.Join(e.Pods, ", "), e.Err)
}

// Next is what a person can do about it.
func (e *LeftError) Next() string {
	return fmt.Sprintf("where their node has died, kubectl --namespace %s delete pod --force %s, then run this again", e.Namespace, strings.Join(e.Pods, " "))
}

func (e *LeftError) Unwrap() error { return e.Err }

// Sweep removes the Jobs that runs which died have left, and returns when
// their pods are gone, so that no two of a kind ever run at once. Who may not
// list Jobs has made none. Pods on a node that has died never go: once only
// such are left they are told, and waited for no longer.
func Sweep(ctx context.Context, c *cluster.Client, namespace string, labels map[string]string, log progress.Log) error {
	ours, err := apilabels.NewRequirement(Label, selection.Exists, nil)
	if err != nil {
		return err
	}
	list, err := c.Kube.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: apilabels.SelectorFromSet(labels).Add(*ours).String(),
	})
	if apierrors.IsForbidden(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the Jobs that earlier runs left: %w", err)
	}
	var group errgroup.Group
	for i := range list.Items {
		job := &list.Items[i]
		group.Go(func() error {
			log.Linef("removing Job %s, which a run that died left behind", job.Name)
			return sweep(ctx, c, job, log)
		})
	}
	return group.Wait()
}

func sweep(ctx context.Context, c *cluster.Client, job *batchv1.Job, log progress.Log) error {
	object := release.Object{APIVersion: "batch/v1", Kind: "Job", Namespace: job.Namespace, Name: job.Name, UID: string(job.UID)}
	var pods []string
	for within := deadAfter; ; within = deadEvery {
		waiting, stop := context.WithTimeout(ctx, within)
		err := c.Delete(waiting, object, true) // again does no harm
		over := waiting.Err() != nil
		stop()
		switch {
		case err == nil || !over:
			return err
		case ctx.Err() != nil && len(pods) > 0:
			return &LeftError{Job: job.Name, Namespace: job.Namespace, Pods: pods, Err: err}
		case ctx.Err() != nil:
			return err
		}
		var dead bool
		if pods, dead, err = remaining(ctx, c, job); err != nil {
			return err
		}
		if dead {
			progress.Warn(log, "dead node", fmt.Sprintf("the pods %s of Job %s, which a run that died left behind, are on nodes that are not ready and are not waited for: where such a node lost nothing but its network, they may run on",
				strings.Join(pods, ", "), job.Name))
			return nil
		}
	}
}

// remaining is the Job's pods, and whether all of them are on nodes that have died.
func remaining(ctx context.Context, c *cluster.Client, job *batchv1.Job) (pods []string, dead bool, err error) {
	selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
	if err != nil {
		return nil, false, fmt.Errorf("read the selector of Job %s: %w", job.Name, err)
	}
	list, err := c.Kube.CoreV1().Pods(job.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, false, fmt.Errorf("list the pods of Job %s: %w", job.Name, err)
	}
	alone := true
	for i := range list.Items {
		pod := &list.Items[i]
		if !metav1.IsControlledBy(pod, job) {
			continue
		}
		pods = append(pods, pod.Name)
		alone = alone && died(ctx, c, pod.Spec.NodeName)
	}
	return pods, alone && len(pods) > 0, nil
}

// died says that a node is not ready, or not there. One that cannot be read,
// for want of the right or of an answer, counts as alive.
func died(ctx context.Context, c *cluster.Client, node string) bool {
	if node == "" {
		return false
	}
	list, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, node).String()})
	if err != nil {
		return false
	}
	for _, n := range list.Items {
		for _, condition := range n.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				return condition.Status != corev1.ConditionTrue
			}
		}
	}
	return len(list.Items) == 0
}
