package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// usage is what a quota counts of one pod.
// https://kubernetes.io/docs/concepts/policy/resource-quotas/
func usage(spec corev1.PodSpec) corev1.ResourceList {
	pod := &corev1.Pod{Spec: spec}
	used := corev1.ResourceList{
		corev1.ResourcePods: resource.MustParse("1"),
		"count/pods":        resource.MustParse("1"),
	}
	for name, quantity := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}) {
		used["requests."+name] = quantity
		if name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage {
			used[name] = quantity
		}
	}
	for name, quantity := range resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{}) {
		used["limits."+name] = quantity
	}
	return used
}

func add(sum, one corev1.ResourceList, times int64) {
	for name, quantity := range one {
		total := sum[name]
		quantity = quantity.DeepCopy()
		quantity.Mul(times)
		total.Add(quantity)
		sum[name] = total
	}
}

// counts says whether a quota counts a pod; known is false for scopes that
// cannot be told from the pod alone.
func counts(q corev1.ResourceQuota, spec corev1.PodSpec) (counted, known bool) {
	var wants []corev1.ScopedResourceSelectorRequirement
	for _, scope := range q.Spec.Scopes {
		wants = append(wants, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		wants = append(wants, q.Spec.ScopeSelector.MatchExpressions...)
	}
	for _, want := range wants {
		is, known := within(want, spec)
		if !known || !is {
			return false, known
		}
	}
	return true, true
}

func within(want corev1.ScopedResourceSelectorRequirement, spec corev1.PodSpec) (is, known bool) {
	bestEffort := true
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		bestEffort = bestEffort && len(c.Resources.Requests) == 0 && len(c.Resources.Limits) == 0
	}
	switch want.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return spec.ActiveDeadlineSeconds != nil, true
	case corev1.ResourceQuotaScopeNotTerminating:
		return spec.ActiveDeadlineSeconds == nil, true
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort, spec.Resources == nil
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort, spec.Resources == nil
	case corev1.ResourceQuotaScopePriorityClass:
		// A pod that names none may be given the cluster's default.
		has := spec.PriorityClassName != ""
		switch want.Operator {
		case corev1.ScopeSelectorOpIn:
			return slices.Contains(want.Values, spec.PriorityClassName), has
		case corev1.ScopeSelectorOpNotIn:
			return !slices.Contains(want.Values, spec.PriorityClassName), has
		case corev1.ScopeSelectorOpExists:
			return has, has
		case corev1.ScopeSelectorOpDoesNotExist:
			return !has, has
		}
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity, corev1.ResourceQuotaScopeVolumeAttributesClass:
	}
	return false, false
}

// wanting is what a quota wants every container to say and one of the pod's
// does not: without it no such pod is made.
func wanting(q corev1.ResourceQuota, spec corev1.PodSpec) (missing []string) {
	if spec.Resources != nil {
		return nil // what the pod says as a whole may do
	}
	for _, name := range slices.Sorted(maps.Keys(q.Spec.Hard)) {
		list, plain, _ := strings.Cut(string(name), ".")
		if plain == "" {
			list, plain = "requests", string(name)
		}
		if plain != "cpu" && plain != "memory" || list != "requests" && list != "limits" {
			continue
		}
		for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
			said := c.Resources.Requests
			if list == "limits" {
				said = c.Resources.Limits
			}
			if quantity, ok := said[corev1.ResourceName(plain)]; !ok || quantity.IsZero() {
				missing = append(missing, fmt.Sprintf("container %s has no %s.%s", c.Name, list, plain))
			}
		}
	}
	return missing
}

// over is the first resource of which a quota has less than is needed beside
// what others hold.
func over(q corev1.ResourceQuota, others, needed corev1.ResourceList) (text string, is bool) {
	for _, name := range slices.Sorted(maps.Keys(q.Spec.Hard)) {
		need := needed[name]
		free := q.Spec.Hard[name].DeepCopy()
		free.Sub(others[name])
		if !need.IsZero() && need.Cmp(free) > 0 {
			hard := q.Spec.Hard[name]
			return fmt.Sprintf("%s of %s, and of its %s the quota %s leaves %s", need.String(), name, hard.String(), q.Name, atLeastZero(free)), true
		}
	}
	return "", false
}

func atLeastZero(q resource.Quantity) string {
	if q.Sign() < 0 {
		return "0"
	}
	return q.String()
}
