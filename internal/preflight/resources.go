package preflight

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/cluster"
)

// resources refuses pods that a LimitRange would refuse, and a release whose
// pods, once the old ones are gone, have no room in a ResourceQuota.
func resources(ctx context.Context, c *cluster.Client, r Release, groups []pods) (Result, error) {
	var result Result
	core := c.Kube.CoreV1()
	result.Requests += 2
	ranges, err := core.LimitRanges(r.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		if err := result.unseen("limit ranges", seen(err)); err != nil {
			return result, fmt.Errorf("list limit ranges: %w", err)
		}
		ranges = new(corev1.LimitRangeList)
	}
	groups = slices.Clone(groups) // others read it at the same time
	for i, g := range groups {
		groups[i].spec = defaulted(g.spec, ranges.Items)
		for _, problem := range limit(ranges.Items, groups[i].spec) {
			result.fatal(g.owner, "%s", problem)
		}
	}
	quotas, err := core.ResourceQuotas(r.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		if err := result.unseen("resource quotas", seen(err)); err != nil {
			return result, fmt.Errorf("list resource quotas: %w", err)
		}
		return result, nil
	}
	if len(quotas.Items) == 0 {
		return result, nil
	}
	result.Requests++
	there, err := core.Pods(r.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		if err := result.unseen("what the namespace's pods hold of its quotas", seen(err)); err != nil {
			return result, fmt.Errorf("list pods: %w", err)
		}
		return result, nil
	}
	stay := staying(there.Items, r.Replaced)
	for _, q := range quotas.Items {
		judge(&result, q, groups, stay)
	}
	return result, nil
}

// seen makes an error of a want of rights what unseen knows.
func seen(err error) error {
	if apierrors.IsForbidden(err) {
		return &cluster.ForbiddenError{}
	}
	return err
}

// staying is the pods that the release does not take away. Those that end
// already, or have ended, hold nothing of a quota for long.
func staying(all []corev1.Pod, replaced []*unstructured.Unstructured) (stay []corev1.Pod) {
	var gone []labels.Selector
	for _, u := range replaced {
		raw, ok, _ := unstructured.NestedMap(u.Object, "spec", "selector")
		if !ok {
			continue
		}
		selector := new(metav1.LabelSelector)
		if runtime.DefaultUnstructuredConverter.FromUnstructured(raw, selector) != nil {
			continue
		}
		if s, err := metav1.LabelSelectorAsSelector(selector); err == nil && !s.Empty() {
			gone = append(gone, s)
		}
	}
	for _, pod := range all {
		ended := pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		for _, s := range gone {
			ended = ended || s.Matches(labels.Set(pod.Labels))
		}
		if !ended {
			stay = append(stay, pod)
		}
	}
	return stay
}

// judge holds the release's pods against one quota.
func judge(result *Result, q corev1.ResourceQuota, groups []pods, stay []corev1.Pod) {
	others, needed := corev1.ResourceList{}, corev1.ResourceList{}
	for _, pod := range stay {
		if counted, _ := counts(q, pod.Spec); counted {
			add(others, usage(pod.Spec), 1)
		}
	}
	var last *unstructured.Unstructured
	for _, g := range groups {
		counted, known := counts(q, g.spec)
		if !known || !counted {
			continue
		}
		for _, missing := range wanting(q, g.spec) {
			result.fatal(g.owner, "quota %s: %s, and no pod without it is made; set it", q.Name, missing)
		}
		if g.count > 0 {
			add(needed, usage(g.spec), g.count)
			last = g.owner
		}
	}
	if last == nil {
		return
	}
	if text, is := over(q, others, needed); is {
		result.fatal(last, "the release's pods need %s", text)
		return
	}
	// One more pod than in the steady state, beside the old ones at their worst.
	for _, g := range groups {
		if counted, _ := counts(q, g.spec); !counted || !g.surge || g.count == 0 {
			continue
		}
		during := corev1.ResourceList{}
		add(during, needed, 1)
		add(during, usage(g.spec), 1)
		if text, is := over(q, others, during); is {
			result.warn(g.owner, "while it rolls out, one pod more than its %d is there for a while: that needs %s; the rollout cannot go on unless something else ends", g.count, text)
		}
	}
}
