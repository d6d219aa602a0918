package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
)

// admission lets the server try a pod of each workload out, where we have the
// right to create pods: what guards them — pod security, policies, webhooks —
// does not look at the workloads that make them.
func admission(ctx context.Context, c *cluster.Client, r Release, groups []pods) (Result, error) {
	var result Result
	if len(groups) > mostLooked {
		result.Skipped = append(result.Skipped, fmt.Sprintf("whether pods of %d workloads are admitted", len(groups)-mostLooked))
		groups = groups[:mostLooked]
	}
	result.Requests++
	missing, err := c.Can(ctx, []cluster.Access{{Verb: "create", Resource: "pods", Namespace: r.Namespace}})
	if err != nil {
		return result, err
	}
	if len(missing) > 0 {
		return result, result.unseen("whether pods are admitted", &cluster.ForbiddenError{Access: missing[0]})
	}
	for _, g := range groups {
		result.Requests++
		err := c.TryPod(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: g.owner.GetName() + "-", Namespace: r.Namespace,
				Labels: g.meta.Labels, Annotations: g.meta.Annotations,
			},
			Spec: withoutNew(g.spec, r),
		})
		refused, ok := errors.AsType[*cluster.RefusedError](err)
		if !ok || refused.By == "quota" || refused.By == "limit range" || lookup(refused.Words) {
			// Room in a quota is reckoned with for all pods together; what is no
			// refusal the dry run of the workload tells.
			continue
		}
		result.fatal(g.owner, "its pods are refused by %s: %s", refused.By, refused.Words)
	}
	return result, ctx.Err()
}

// lookup: the object that a pod refers to is not there, which is told already.
func lookup(words string) bool {
	return strings.Contains(words, "error looking up service account") || strings.Contains(words, "no PriorityClass with name")
}

// withoutNew leaves out references to what the release itself brings and is not
// there yet.
func withoutNew(spec corev1.PodSpec, r Release) corev1.PodSpec {
	brought := func(kind, name string) bool {
		for _, u := range r.Objects {
			if u.GetKind() == kind && u.GetName() == name {
				return true
			}
		}
		return false
	}
	spec = *spec.DeepCopy()
	if brought("ServiceAccount", spec.ServiceAccountName) {
		spec.ServiceAccountName, spec.DeprecatedServiceAccount = "", ""
	}
	if brought("PriorityClass", spec.PriorityClassName) {
		spec.PriorityClassName = ""
	}
	if spec.RuntimeClassName != nil && brought("RuntimeClass", *spec.RuntimeClassName) {
		spec.RuntimeClassName = nil
	}
	return spec
}
