package preflight

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// defaulted is a pod as it will be admitted: requests follow limits, and what a
// container leaves out comes from the namespace's LimitRanges.
// https://kubernetes.io/docs/concepts/policy/limit-range/
func defaulted(spec corev1.PodSpec, ranges []corev1.LimitRange) corev1.PodSpec {
	spec = *spec.DeepCopy()
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			r := &list[i].Resources
			fill(&r.Requests, r.Limits)
			for _, limit := range ranges {
				for _, item := range limit.Spec.Limits {
					if item.Type == corev1.LimitTypeContainer {
						fill(&r.Limits, item.Default)
						fill(&r.Requests, item.DefaultRequest)
					}
				}
			}
		}
	}
	return spec
}

func fill(list *corev1.ResourceList, from corev1.ResourceList) {
	for name, quantity := range from {
		if _, ok := (*list)[name]; ok {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = quantity
	}
}

// limit says what a LimitRange refuses of a pod.
func limit(ranges []corev1.LimitRange, spec corev1.PodSpec) (problems []string) {
	pod := &corev1.Pod{Spec: spec}
	for _, r := range ranges {
		for _, item := range r.Spec.Limits {
			tell := func(what string, wrong []string) {
				for _, w := range wrong {
					problems = append(problems, fmt.Sprintf("LimitRange %s: %s %s", r.Name, what, w))
				}
			}
			switch item.Type {
			case corev1.LimitTypeContainer:
				for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
					tell("container "+c.Name, outside(item, c.Resources.Requests, c.Resources.Limits))
				}
			case corev1.LimitTypePod:
				o := resourcehelper.PodResourcesOptions{}
				tell("a pod", outside(item, resourcehelper.PodRequests(pod, o), resourcehelper.PodLimits(pod, o)))
			case corev1.LimitTypePersistentVolumeClaim:
			}
		}
	}
	return problems
}

// outside is what of requests and limits lies outside a range.
func outside(item corev1.LimitRangeItem, requests, limits corev1.ResourceList) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(item.Min)) {
		least := item.Min[name]
		request, asked := requests[name]
		bound, bounded := limits[name]
		switch {
		case !asked:
			say("requests no %s, at least %s is wanted", name, least.String())
		case request.Cmp(least) < 0:
			say("requests %s of %s, at least %s is wanted", request.String(), name, least.String())
		case bounded && bound.Cmp(least) < 0:
			say("is limited to %s of %s, at least %s is wanted", bound.String(), name, least.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(item.Max)) {
		most := item.Max[name]
		request, asked := requests[name]
		bound, bounded := limits[name]
		switch {
		case !bounded:
			say("has no limit of %s, at most %s is allowed", name, most.String())
		case bound.Cmp(most) > 0:
			say("is limited to %s of %s, at most %s is allowed", bound.String(), name, most.String())
		case asked && request.Cmp(most) > 0:
			say("requests %s of %s, at most %s is allowed", request.String(), name, most.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(item.MaxLimitRequestRatio)) {
		most := item.MaxLimitRequestRatio[name]
		request, bound := requests[name], limits[name]
		if request.IsZero() || bound.IsZero() {
			say("needs a request and a limit of %s: their ratio is at most %s", name, most.String())
		} else if ratio(bound, request) > ratio(most, resource.MustParse("1")) {
			say("is limited to %s of %s and requests %s: the ratio is at most %s", bound.String(), name, request.String(), most.String())
		}
	}
	return wrong
}

func ratio(a, b resource.Quantity) float64 {
	return a.AsApproximateFloat64() / b.AsApproximateFloat64()
}
