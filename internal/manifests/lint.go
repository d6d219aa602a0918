package manifests

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fibership/fibership/internal/progress"
)

// Lint warns, at the place of the object, of what costs requests during a
// rollout or hinders work on nodes: no readiness probe, all pods stopped at
// once, no preStop or one as long as the grace period, a single replica, a
// PodDisruptionBudget that blocks. Only workloads that serve are looked at:
// those with ports or behind a Service of the set. Call it before DropScaled,
// or a workload's replicas count as the default, one.
func Lint(objs []Object) []progress.Annotation {
	l := linter{objs: objs}
	for _, o := range objs {
		template, ok := PodTemplate(o.Unstructured)
		if !ok || !l.serves(o, template) {
			continue
		}
		switch o.GetKind() {
		case "Deployment":
			l.deployment(o)
			l.pods(o, template)
		case "StatefulSet":
			l.replicas(o)
			l.pods(o, template)
		case "DaemonSet":
			l.pods(o, template)
		}
	}
	return l.notes
}

type linter struct {
	objs  []Object
	notes []progress.Annotation
}

func (l *linter) warn(o Object, format string, args ...any) {
	l.notes = append(l.notes, progress.Annotation{
		Level: progress.Warning, File: o.File, Line: o.Line, Title: "zero downtime",
		Message: o.title() + ": " + fmt.Sprintf(format, args...),
	})
}

func (l *linter) serves(o Object, template *corev1.PodTemplateSpec) bool {
	for _, c := range template.Spec.Containers {
		if len(c.Ports) > 0 {
			return true
		}
	}
	for _, other := range l.objs {
		if other.GetKind() != "Service" || other.GetNamespace() != o.GetNamespace() {
			continue
		}
		service, ok := typed[corev1.Service](other)
		if ok && len(service.Spec.Selector) > 0 && labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(template.Labels)) {
			return true
		}
	}
	return false
}

func (l *linter) pods(o Object, template *corev1.PodTemplateSpec) {
	grace := int64(30)
	if given := template.Spec.TerminationGracePeriodSeconds; given != nil {
		grace = *given
	}
	ready, stops := false, false
	for _, c := range template.Spec.Containers {
		ready = ready || c.ReadinessProbe != nil
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
			continue
		}
		stops = true
		if sleep := c.Lifecycle.PreStop.Sleep; sleep != nil && sleep.Seconds >= grace {
			l.warn(o, "the preStop sleep of container %s takes %d s and the grace period is %d s: the container is killed without having been asked to stop", c.Name, sleep.Seconds, grace)
		}
	}
	if !ready {
		l.warn(o, "no container has a readinessProbe: pods get requests before they can answer")
	}
	if !stops {
		l.warn(o, "no container has a preStop: requests that are still sent to a stopping pod are lost unless it serves on after SIGTERM; add lifecycle.preStop.sleep of 5 seconds")
	}
}

func (l *linter) deployment(o Object) {
	d, ok := typed[appsv1.Deployment](o)
	if !ok {
		return
	}
	replicas := l.replicas(o)
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		l.warn(o, "the strategy Recreate stops every pod before a new one starts")
		return
	}
	unavailable := intstr.FromString("25%")
	if rolling := d.Spec.Strategy.RollingUpdate; rolling != nil && rolling.MaxUnavailable != nil {
		unavailable = *rolling.MaxUnavailable
	}
	if n, err := intstr.GetScaledValueFromIntOrPercent(&unavailable, replicas, false); err == nil && n >= replicas && replicas > 0 {
		l.warn(o, "maxUnavailable %s lets all %d pods be stopped at once; set it to 0", unavailable.String(), replicas)
	}
}

// replicas looks at how many pods there are, and at what a budget makes of it.
func (l *linter) replicas(o Object) int {
	replicas := 1
	if given, found, err := unstructured.NestedInt64(o.Object, "spec", "replicas"); found && err == nil {
		replicas = int(given)
	}
	if least := l.scaled(o); least > 0 {
		replicas = least
	}
	if replicas == 1 {
		l.warn(o, "one replica: when its node goes, nothing serves until a new pod does")
	}
	template, ok := PodTemplate(o.Unstructured)
	if !ok || replicas == 0 {
		return replicas
	}
	for _, other := range l.objs {
		if other.GetKind() == "PodDisruptionBudget" && other.GetNamespace() == o.GetNamespace() {
			l.budget(other, o, template.Labels, replicas)
		}
	}
	return replicas
}

// scaled is the least number of pods that an autoscaler of the set keeps; 0
// where there is none.
func (l *linter) scaled(o Object) int {
	for _, other := range l.objs {
		if other.GetKind() != "HorizontalPodAutoscaler" || other.GetNamespace() != o.GetNamespace() {
			continue
		}
		spec, _ := other.Object["spec"].(map[string]any)
		target, _ := spec["scaleTargetRef"].(map[string]any)
		if target["kind"] != o.GetKind() || target["name"] != o.GetName() {
			continue
		}
		if least, ok := spec["minReplicas"].(int64); ok {
			return int(least)
		}
		return 1
	}
	return 0
}

func (l *linter) budget(budget, o Object, pods map[string]string, replicas int) {
	b, ok := typed[policyv1.PodDisruptionBudget](budget)
	if !ok {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil || !selector.Matches(labels.Set(pods)) {
		return
	}
	allowed := 1
	if limit := b.Spec.MaxUnavailable; limit != nil {
		// The controller rounds both up.
		allowed, err = intstr.GetScaledValueFromIntOrPercent(limit, replicas, true)
	} else if limit := b.Spec.MinAvailable; limit != nil {
		var needed int
		needed, err = intstr.GetScaledValueFromIntOrPercent(limit, replicas, true)
		allowed = replicas - needed
	}
	if err == nil && allowed <= 0 {
		l.warn(budget, "it lets none of the %d pods of %s go: no node with one of them can be emptied; set maxUnavailable to 1", replicas, o.title())
	}
}

func typed[T any](o Object) (*T, bool) {
	value := new(T)
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, value)
	return value, err == nil
}
