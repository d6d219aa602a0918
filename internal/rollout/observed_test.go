package rollout

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// noon is when every case is judged; ago counts back from there.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }

// stage of the cases: Deployment orders, two replicas, whose ReplicaSet new
// has been there for a minute, beside one of the version before.
func deploymentOf(change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: "orders", UID: "d", Generation: 2, CreationTimestamp: ago(time.Hour), ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "fibership", Time: new(ago(time.Minute))}}},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2)), Template: template("new")},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 1, ReadyReplicas: 2, AvailableReplicas: 2},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "orders"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{web(image)}}}
}

func web(image string) corev1.Container {
	return corev1.Container{Name: "web", Image: image, ReadinessProbe: &corev1.Probe{}}
}

func replicaSet(version string, change ...func(*appsv1.ReplicaSet)) *appsv1.ReplicaSet {
	t := template(version)
	t.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = version
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "orders-" + version, UID: types.UID(version), OwnerReferences: owner("d"), CreationTimestamp: ago(time.Minute)},
		Spec:       appsv1.ReplicaSetSpec{Replicas: new(int32(2)), Template: t},
		Status:     appsv1.ReplicaSetStatus{ObservedGeneration: 1},
	}
	for _, c := range change {
		c(rs)
	}
	return rs
}

func owner(uid string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{UID: types.UID(uid), Controller: new(true)}}
}

func podOf(uid, name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), OwnerReferences: owner(uid), CreationTimestamp: ago(50 * time.Second), Labels: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{web(uid)}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: ago(50 * time.Second)},
		}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// status puts the one container's status into the pod.
func status(change func(*corev1.ContainerStatus)) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		s := corev1.ContainerStatus{Name: "web"}
		change(&s)
		p.Status.ContainerStatuses = []corev1.ContainerStatus{s}
	}
}

func ready(p *corev1.Pod) {
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: ago(20 * time.Second)})
	status(func(s *corev1.ContainerStatus) {
		s.Ready, s.State.Running = true, &corev1.ContainerStateRunning{StartedAt: ago(30 * time.Second)}
	})(p)
}

func waits(reason, message string) func(*corev1.Pod) {
	return status(func(s *corev1.ContainerStatus) {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	})
}

func ended(code int32, reason string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, StartedAt: ago(10 * time.Second), FinishedAt: ago(5 * time.Second)}
}

// crashed is a container that has ended n times, the last one just now.
func crashed(n int32, code int32, reason string) func(*corev1.Pod) {
	return status(func(s *corev1.ContainerStatus) {
		s.RestartCount, s.State.Terminated = n-1, ended(code, reason)
	})
}

func running(p *corev1.Pod) {
	status(func(s *corev1.ContainerStatus) {
		s.State.Running, s.Started = &corev1.ContainerStateRunning{StartedAt: ago(40 * time.Second)}, new(true)
	})(p)
}

func event(kind, name, reason, message string, first, last time.Duration, count int32) *corev1.Event {
	return &corev1.Event{
		InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name, FieldPath: "spec.containers{web}"}, Type: corev1.EventTypeWarning,
		Reason: reason, Message: message, FirstTimestamp: ago(first), LastTimestamp: ago(last), Count: count,
	}
}

func unstruct(t testing.TB, o any) *unstructured.Unstructured {
	t.Helper()
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: m}
}

// first is an observation whose one new pod is as told, beside an old one.
func first(t testing.TB, pod func(*corev1.Pod), events ...*corev1.Event) Observed {
	return Observed{
		Workload: unstruct(t, deploymentOf()), ReplicaSets: []*appsv1.ReplicaSet{replicaSet("new"), replicaSet("old")},
		Pods: []*corev1.Pod{podOf("new", "p", pod), podOf("old", "o", ready)}, Events: events, Now: noon,
	}
}

const pullFailed = `rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/acme/orders:1": failed to resolve reference "ghcr.io/acme/orders:1": `
