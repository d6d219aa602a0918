package cluster

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Order puts the objects into the order in which they are applied: what others
// refer to first. Objects of one rank stay as they are. Kinds that are not
// known here come behind the workloads.
func Order(objs []*unstructured.Unstructured) {
	slices.SortStableFunc(objs, func(a, b *unstructured.Unstructured) int { return cmp.Compare(rank(a), rank(b)) })
}

func rank(u *unstructured.Unstructured) int {
	if r, ok := ranks[u.GetKind()]; ok {
		return r
	}
	return ranks["CronJob"] + 1
}

var ranks = func() map[string]int {
	order := [][]string{
		{"Namespace"},
		{"CustomResourceDefinition"},
		{"PriorityClass", "StorageClass", "RuntimeClass", "IngressClass", "GatewayClass"},
		{"ResourceQuota", "LimitRange", "NetworkPolicy"},
		{"ServiceAccount"},
		{"ClusterRole", "Role"},
		{"ClusterRoleBinding", "RoleBinding"},
		{"ConfigMap", "Secret", "ExternalSecret", "SealedSecret"},
		{"PersistentVolume", "PersistentVolumeClaim"},
		{"Service", "Endpoints", "EndpointSlice"},
		// Before the workload: a rolling update is not to start unguarded.
		{"PodDisruptionBudget"},
		{"Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"},
		{}, // what is not known
		{"HorizontalPodAutoscaler", "VerticalPodAutoscaler", "ScaledObject"},
		{"Gateway"},
		{"Ingress", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "VirtualService"},
		{"APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
	}
	ranks := map[string]int{}
	for i, kinds := range order {
		for _, kind := range kinds {
			ranks[kind] = i
		}
	}
	return ranks
}()
