package rollout

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestJudge(t *testing.T) {
	image := func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ghcr.io/acme/orders:1" }
	pulls := func(reason, message string) Observed {
		return first(t, func(p *corev1.Pod) { waits(reason, message)(p); image(p) })
	}
	unschedulable := func(message string, since time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message, LastTransitionTime: ago(since)}}
		}
	}
	refusal := func(message string, since time.Duration, pods ...*corev1.Pod) Observed {
		return Observed{Workload: unstruct(t, deploymentOf()), Now: noon, Pods: pods, ReplicaSets: []*appsv1.ReplicaSet{replicaSet("old"), replicaSet("new", func(rs *appsv1.ReplicaSet) {
			rs.Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message, LastTransitionTime: ago(since)}}
		})}}
	}
	deployment := func(change ...func(*appsv1.Deployment)) Observed {
		return Observed{Workload: unstruct(t, deploymentOf(change...)), Now: noon}
	}
	served := func(d *appsv1.Deployment) {
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}
	}
	const never = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
	const quota = `pods "orders-new-1" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2`
	const missing = `MountVolume.SetUp failed for volume "keys" : secret "keys" not found`

	for name, c := range map[string]struct {
		o      Observed
		state  State
		reason Reason
	}{
		"nothing there": {Observed{Now: noon}, Suspect, Missing},
		"rolling":       {first(t, func(*corev1.Pod) {}), Going, ""},

		// Serving
		"all there":         {deployment(served), Serving, ""},
		"not seen yet":      {deployment(served, func(d *appsv1.Deployment) { d.Generation = 3 }), Going, ""},
		"an old pod left":   {deployment(served, func(d *appsv1.Deployment) { d.Status.Replicas = 3 }), Going, ""},
		"not available yet": {deployment(served, func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 1 }), Going, ""},
		"none wanted": {deployment(func(d *appsv1.Deployment) {
			d.Spec.Replicas = new(int32(0))
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2}
		}), Serving, ""},
		"one wanted by omission": {deployment(func(d *appsv1.Deployment) {
			d.Spec.Replicas = nil
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
		}), Serving, ""},
		"ready only because it runs": {func() Observed {
			o := deployment(served)
			o.ReplicaSets = []*appsv1.ReplicaSet{replicaSet("new")}
			o.Pods = []*corev1.Pod{podOf("new", "p", ready, func(p *corev1.Pod) {
				p.Spec.Containers[0].ReadinessProbe = nil
				p.Status.ContainerStatuses[0].State.Running.StartedAt = ago(time.Second)
			})}
			return o
		}(), Going, ""},
		"ready just after a crash": {func() Observed {
			o := deployment(served)
			o.ReplicaSets = []*appsv1.ReplicaSet{replicaSet("new")}
			o.Pods = []*corev1.Pod{podOf("new", "p", ready, func(p *corev1.Pod) {
				s := &p.Status.ContainerStatuses[0]
				s.RestartCount, s.LastTerminationState.Terminated, s.State.Running.StartedAt = 1, ended(1, "Error"), ago(4*time.Second)
			})}
			return o
		}(), Going, ""},
		"paused": {deployment(func(d *appsv1.Deployment) { d.Spec.Paused = true }), Suspect, Paused},

		// Crashes
		"first crash":  {first(t, crashed(1, 1, "Error")), Suspect, CrashLoop},
		"second crash": {first(t, crashed(2, 1, "Error")), Doomed, CrashLoop},
		"one restart, running again": {first(t, status(func(s *corev1.ContainerStatus) {
			s.RestartCount = 1
			s.State.Running = &corev1.ContainerStateRunning{}
			s.LastTerminationState.Terminated = ended(1, "Error")
		})), Suspect, CrashLoop},
		"two restarts, running again": {first(t, status(func(s *corev1.ContainerStatus) {
			s.RestartCount = 2
			s.State.Running = &corev1.ContainerStateRunning{}
			s.LastTerminationState.Terminated = ended(1, "Error")
		})), Doomed, CrashLoop},
		"backing off after two": {first(t, status(func(s *corev1.ContainerStatus) {
			s.RestartCount, s.State.Waiting, s.LastTerminationState.Terminated = 1, &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}, ended(1, "Error")
		})), Doomed, CrashLoop},
		"backing off after one": {first(t, status(func(s *corev1.ContainerStatus) {
			s.State.Waiting, s.LastTerminationState.Terminated = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}, ended(1, "Error")
		})), Suspect, CrashLoop},
		"an old pod's past":       {first(t, func(p *corev1.Pod) { crashed(2, 255, "Unknown")(p); p.CreationTimestamp = ago(30 * 24 * time.Hour) }), Suspect, CrashLoop},
		"forgotten by its node":   {first(t, crashed(2, 137, "ContainerStatusUnknown")), Going, ""},
		"memory":                  {first(t, crashed(2, 137, "OOMKilled")), Doomed, OutOfMemory},
		"cannot be started":       {first(t, crashed(2, 128, "StartError")), Doomed, CannotStart},
		"cannot be started, once": {first(t, crashed(1, 128, "StartError")), Suspect, CannotStart},
		"ends well":               {first(t, crashed(2, 0, "Completed")), Doomed, Completed},
		"a pod of the old version crashes": {func() Observed {
			o := first(t, func(*corev1.Pod) {})
			o.Pods = append(o.Pods, podOf("old", "x", crashed(9, 1, "Error")))
			return o
		}(), Going, ""},
		"a pod on its way out crashes": {first(t, func(p *corev1.Pod) { crashed(3, 1, "Error")(p); p.DeletionTimestamp = new(ago(0)) }), Going, ""},
		"an init container ends well": {first(t, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", RestartCount: 3, State: corev1.ContainerState{Terminated: ended(0, "Completed")}}}
		}), Going, ""},
		"an init container fails twice": {first(t, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init"}}
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", RestartCount: 1, State: corev1.ContainerState{Terminated: ended(1, "Error")}}}
		}), Doomed, CrashLoop},
		"liveness kills": {first(t, crashed(2, 137, "Error"), event("Pod", "p", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", 30*time.Second, 6*time.Second, 6)), Doomed, LivenessKills},
		"a failed probe at the start of one that ends by itself": {first(t, crashed(2, 1, "Error"), event("Pod", "p", "Unhealthy", "Liveness probe failed: connection refused", 30*time.Second, 6*time.Second, 1)), Doomed, CrashLoop},
		"startup kills": {first(t, crashed(2, 0, "Completed"), event("Pod", "p", "Unhealthy", "Startup probe failed: dial", 30*time.Second, 6*time.Second, 6)), Doomed, StartupTooSlow},

		"startup kills, without an event": {first(t, func(p *corev1.Pod) {
			crashed(2, 137, "Error")(p)
			p.Spec.Containers[0].StartupProbe = &corev1.Probe{PeriodSeconds: 1, FailureThreshold: 5}
		}), Doomed, StartupTooSlow},
		"ends before its startup probe ends it": {first(t, func(p *corev1.Pod) {
			crashed(2, 137, "Error")(p)
			p.Spec.Containers[0].StartupProbe = &corev1.Probe{PeriodSeconds: 10, FailureThreshold: 5}
		}), Doomed, CrashLoop},

		// Images
		"not found":              {pulls("ErrImagePull", pullFailed+"ghcr.io/acme/orders:1: not found"), Doomed, ImageNotFound},
		"not found, backing off": {pulls("ImagePullBackOff", `Back-off pulling image "ghcr.io/acme/orders:1": ErrImagePull: `+pullFailed+"not found"), Doomed, ImageNotFound},
		"manifest unknown":       {pulls("ErrImagePull", pullFailed+"manifest unknown"), Doomed, ImageNotFound},
		"not found, by the event": {first(t, func(p *corev1.Pod) {
			waits("ImagePullBackOff", `Back-off pulling image "ghcr.io/acme/orders:1"`)(p)
			image(p)
		}, event("Pod", "p", "Failed", `Failed to pull image "ghcr.io/acme/orders:1": `+pullFailed+"not found", time.Minute, 0, 2)), Doomed, ImageNotFound},
		"unauthorized":      {pulls("ErrImagePull", pullFailed+"pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"), Doomed, ImageUnauthorized},
		"forbidden":         {pulls("ErrImagePull", pullFailed+"unexpected status from HEAD request to https://ghcr.io/v2/acme/orders/manifests/1: 403 Forbidden"), Doomed, ImageUnauthorized},
		"invalid":           {pulls("InvalidImageName", "couldn't parse image name"), Doomed, ImageInvalid},
		"platform":          {pulls("ErrImagePull", pullFailed+"no match for platform in manifest sha256:aa: not found"), Doomed, ImagePlatform},
		"rate limit":        {pulls("ErrImagePull", pullFailed+"unexpected status code 429 Too Many Requests - toomanyrequests: You have reached your pull rate limit. unauthenticated"), Suspect, ImagePull},
		"rate limit as 403": {pulls("ErrImagePull", pullFailed+"403 Forbidden: rate limit exceeded"), Suspect, ImagePull},
		"time-out":          {pulls("ErrImagePull", pullFailed+"dial tcp 10.0.0.1:443: i/o timeout"), Suspect, ImagePull},
		"registry down":     {pulls("ErrImagePull", pullFailed+"unexpected status: 503 Service Unavailable"), Suspect, ImagePull},
		"registry refused":  {pulls("ErrImagePull", pullFailed+"dial tcp 10.0.0.1:443: connect: connection refused"), Suspect, ImagePull},
		"nothing said":      {pulls("ImagePullBackOff", "Back-off pulling image"), Suspect, ImagePull},
		"a name like a verdict": {first(t, func(p *corev1.Pod) {
			waits("ErrImagePull", `failed to pull "ghcr.io/denied/not-found:404": unexpected media type`)(p)
			p.Spec.Containers[0].Image = "ghcr.io/denied/not-found:404"
		}), Suspect, ImagePull},
		"a name like an excuse": {first(t, func(p *corev1.Pod) {
			waits("ErrImagePull", `failed to resolve reference "ghcr.io/timeout/429:503": ghcr.io/timeout/429:503: not found`)(p)
			p.Spec.Containers[0].Image = "ghcr.io/timeout/429:503"
		}), Doomed, ImageNotFound},

		// Configuration
		"ConfigMap missing, at once": {first(t, func(p *corev1.Pod) {
			waits("CreateContainerConfigError", `configmap "settings" not found`)(p)
			p.Status.Conditions[0].LastTransitionTime = ago(4 * time.Second)
			p.CreationTimestamp = ago(4 * time.Second)
		}), Suspect, ConfigMissing},
		"ConfigMap missing, for long": {first(t, waits("CreateContainerConfigError", `configmap "settings" not found`)), Doomed, ConfigMissing},
		"the kubelet's cache":         {first(t, waits("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition")), Suspect, ConfigMissing},
		"root":                        {first(t, waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root")), Doomed, RunsAsRoot},
		"Secret of a volume missing":  {first(t, waits("ContainerCreating", ""), event("Pod", "p", "FailedMount", missing, 12*time.Second, 0, 5)), Doomed, ConfigMissing},
		"Secret missing, at once":     {first(t, waits("ContainerCreating", ""), event("Pod", "p", "FailedMount", missing, 4*time.Second, 0, 3)), Suspect, ConfigMissing},
		"Secret came":                 {first(t, waits("ContainerCreating", ""), event("Pod", "p", "FailedMount", missing, 40*time.Second, 20*time.Second, 5), event("Pod", "p", "Pulling", "Pulling image", 5*time.Second, 5*time.Second, 1)), Going, ""},
		"the cache of a volume":       {first(t, waits("ContainerCreating", ""), event("Pod", "p", "FailedMount", `MountVolume.SetUp failed for volume "c" : failed to sync configmap cache: timed out waiting for the condition`, 20*time.Second, 0, 2)), Going, ""},
		"cannot be made, once":        {first(t, waits("CreateContainerError", "failed to generate spec: x")), Suspect, CannotStart},
		"cannot be made, twice":       {first(t, waits("CreateContainerError", "failed to generate spec: x"), event("Pod", "p", "Failed", "Error: failed to generate spec: x", 9*time.Second, 0, 2)), Doomed, CannotStart},
		"the runtime is slow":         {first(t, waits("CreateContainerError", "context deadline exceeded"), event("Pod", "p", "Failed", "Error: context deadline exceeded", 9*time.Second, 0, 4)), Suspect, CannotStart},

		// Probes
		"404, for a moment": {first(t, running, event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 9*time.Second, 0, 9)), Suspect, NotReady},
		"404, for long":     {first(t, running, event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 30*time.Second, 0, 9)), Doomed, NotReady},
		"404, then 503":     {first(t, running, event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 35*time.Second, 9*time.Second, 9), event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", 5*time.Second, 0, 2)), Suspect, NotReady},
		"404 before a restart": {first(t, func(p *corev1.Pod) {
			running(p)
			p.Status.ContainerStatuses[0].State.Running.StartedAt = ago(5 * time.Second)
		},
			event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 60*time.Second, 2*time.Second, 9)), Suspect, NotReady},
		"429":         {first(t, running, event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 429", 35*time.Second, 0, 9)), Suspect, NotReady},
		"503":         {first(t, running, event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", 39*time.Second, 0, 30)), Suspect, NotReady},
		"refused":     {first(t, running, event("Pod", "p", "Unhealthy", `Readiness probe failed: Get "http://10.0.0.1:3000/readyz": dial tcp 10.0.0.1:3000: connect: connection refused`, 39*time.Second, 0, 30)), Suspect, NotReady},
		"startup 404": {first(t, running, event("Pod", "p", "Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 404", 39*time.Second, 0, 30)), Suspect, NotReady},

		// Nodes
		"never fits, at once":    {first(t, unschedulable(never, 5*time.Second)), Suspect, Unschedulable},
		"never fits":             {first(t, unschedulable(never, 40*time.Second)), Doomed, Unschedulable},
		"a node is being added":  {first(t, unschedulable(never, 40*time.Second), event("Pod", "p", "TriggeredScaleUp", "pod triggered scale-up", 20*time.Second, 20*time.Second, 1)), Suspect, Unschedulable},
		"a node starts":          {first(t, unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.", time.Hour)), Suspect, Unschedulable},
		"full, but large enough": {first(t, unschedulable("0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.", time.Hour)), Suspect, Unschedulable},
		"one large enough":       {first(t, unschedulable("0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.", time.Hour)), Suspect, Unschedulable},
		"no nodes":               {first(t, unschedulable("0/0 nodes are available: . preemption: 0/0 nodes are available: 0 Preemption is not helpful for scheduling.", time.Hour)), Suspect, Unschedulable},
		"claim missing":          {first(t, unschedulable(`0/1 nodes are available: persistentvolumeclaim "data" not found. not found`, 20*time.Second)), Doomed, ClaimMissing},
		"claim not bound":        {first(t, unschedulable("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found", time.Hour)), Suspect, ClaimMissing},
		"evicted":                {first(t, func(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted" }), Suspect, Evicted},

		// Admission
		"quota, at once":          {refusal(quota, 5*time.Second), Suspect, Quota},
		"quota":                   {refusal(quota, 12*time.Second), Doomed, Quota},
		"quota, old pods leaving": {refusal(quota, 12*time.Second, podOf("old", "o", func(p *corev1.Pod) { p.DeletionTimestamp = new(ago(0)) })), Suspect, Quota},
		"quota not counted yet":   {refusal(`pods "x" is forbidden: status unknown for quota: few, resources: pods`, time.Minute), Suspect, Refused},
		"LimitRange":              {refusal(`pods "x" is forbidden: maximum memory usage per Container is 16Mi, but limit is 64Mi`, 5*time.Second), Doomed, Refused},
		"webhook refuses":         {refusal(`admission webhook "policy.acme.io" denied the request: no latest tag`, 5*time.Second), Doomed, Refused},
		"webhook away":            {refusal(`Internal error occurred: failed calling webhook "policy.acme.io": dial tcp: connect: connection refused`, time.Hour), Suspect, Refused},
		"service account missing": {refusal(`pods "x" is forbidden: error looking up service account a/robot: serviceaccount "robot" not found`, 12*time.Second), Doomed, ConfigMissing},

		// Deadlines
		"deadline": {deployment(func(d *appsv1.Deployment) {
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", LastUpdateTime: ago(time.Second)}}
		}), Doomed, DeadlineExceeded},
		"deadline of the rollout before": {deployment(func(d *appsv1.Deployment) {
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", LastUpdateTime: ago(10 * time.Minute)}}
		}), Going, ""},
		"deadline, and why": {func() Observed {
			o := first(t, running, event("Pod", "p", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", 39*time.Second, 0, 30))
			o.Workload = deployment(func(d *appsv1.Deployment) {
				d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", LastUpdateTime: ago(time.Second)}}
			}).Workload
			return o
		}(), Doomed, NotReady},
	} {
		t.Run(name, func(t *testing.T) {
			got := Judge(c.o)
			if got.State != c.state || got.Reason != c.reason {
				t.Errorf("judged %s %q (%s), want %s %q", got.State, got.Reason, got.Detail, c.state, c.reason)
			}
			if (got.Reason != "") != (got.Detail != "") {
				t.Errorf("reason %q with detail %q", got.Reason, got.Detail)
			}
		})
	}
}

func TestJudge_counts(t *testing.T) {
	o := first(t, crashed(2, 1, "Error"))
	o.Pods = append(o.Pods, podOf("new", "q", ready))
	got := Judge(o)
	if got.Ready != 1 || got.Want != 2 || got.Old != 1 || got.Count != 2 || got.Pod != "p" || got.Container != "web" {
		t.Errorf("got %+v", got)
	}
}

func TestJudge_namesWhatIsMissing(t *testing.T) {
	got := Judge(first(t, waits("CreateContainerConfigError", `secret "keys" not found`)))
	if got.missing != (reference{kind: "Secret", name: "keys"}) {
		t.Errorf("got %+v", got.missing)
	}
}

func TestJudge_otherKinds(t *testing.T) {
	set := func(change func(*appsv1.StatefulSet)) Observed {
		s := &appsv1.StatefulSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}, ObjectMeta: metav1.ObjectMeta{Name: "db", UID: "s", Generation: 2, CreationTimestamp: ago(time.Hour)},
			Spec:   appsv1.StatefulSetSpec{Replicas: new(int32(2))},
			Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 2, ReadyReplicas: 2, AvailableReplicas: 2, UpdatedReplicas: 2, CurrentRevision: "b", UpdateRevision: "b"},
		}
		change(s)
		return Observed{Workload: unstruct(t, s), Now: noon}
	}
	daemons := func(change func(*appsv1.DaemonSet)) Observed {
		s := &appsv1.DaemonSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "DaemonSet"}, ObjectMeta: metav1.ObjectMeta{Name: "agent", UID: "s", Generation: 2, CreationTimestamp: ago(time.Hour)},
			Status: appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 3, UpdatedNumberScheduled: 3, NumberReady: 3, NumberAvailable: 3},
		}
		change(s)
		return Observed{Workload: unstruct(t, s), Now: noon}
	}
	job := func(conditions ...batchv1.JobCondition) Observed {
		return Observed{Now: noon, Workload: unstruct(t, &batchv1.Job{
			TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: metav1.ObjectMeta{Name: "migrate", UID: "j"}, Status: batchv1.JobStatus{Conditions: conditions},
		})}
	}
	custom := func(status any) Observed {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "db.acme.io/v1", "kind": "Database", "metadata": map[string]any{"name": "orders", "generation": int64(3), "creationTimestamp": noon.Add(-time.Hour).Format(time.RFC3339)}}}
		if status != nil {
			u.Object["status"] = status
		}
		return Observed{Workload: u, Now: noon}
	}
	saying := func(kind, status string) any {
		return map[string]any{"observedGeneration": int64(3), "conditions": []any{map[string]any{"type": kind, "status": status, "message": "so it is"}}}
	}
	with := func(o Observed, pods ...*corev1.Pod) Observed { o.Pods = pods; return o }

	for name, c := range map[string]struct {
		o      Observed
		state  State
		reason Reason
	}{
		"StatefulSet serves":       {set(func(*appsv1.StatefulSet) {}), Serving, ""},
		"StatefulSet not seen":     {set(func(s *appsv1.StatefulSet) { s.Generation = 3 }), Going, ""},
		"StatefulSet half updated": {set(func(s *appsv1.StatefulSet) { s.Status.UpdatedReplicas, s.Status.CurrentRevision = 1, "a" }), Going, ""},
		"StatefulSet, partition": {set(func(s *appsv1.StatefulSet) {
			s.Status.UpdatedReplicas, s.Status.CurrentRevision = 1, "a"
			s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: new(int32(1))}
		}), Serving, ""},
		"StatefulSet, OnDelete": {set(func(s *appsv1.StatefulSet) {
			s.Status.UpdatedReplicas, s.Status.CurrentRevision = 0, "a"
			s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
		}), Serving, ""},
		"StatefulSet crashes": {with(set(func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 1 }), podOf("s", "db-1", crashed(2, 1, "Error"), labelled(appsv1.ControllerRevisionHashLabelKey, "b"))), Doomed, CrashLoop},
		"StatefulSet held up": {with(set(func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 1 }), podOf("s", "db-1", crashed(7, 1, "Error"), labelled(appsv1.ControllerRevisionHashLabelKey, "a"))), Suspect, NotReady},
		"StatefulSet over quota": {func() Observed {
			o := set(func(s *appsv1.StatefulSet) { s.Status.Replicas = 0; s.CreationTimestamp = ago(time.Minute) })
			o.Events = []*corev1.Event{event("StatefulSet", "db", "FailedCreate", "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0", 20*time.Second, time.Second, 9)}
			return o
		}(), Doomed, Quota},
		"StatefulSet, an event of the version before": {func() Observed {
			o := set(func(s *appsv1.StatefulSet) { s.Status.Replicas = 0; s.CreationTimestamp = ago(time.Minute) })
			o.Events = []*corev1.Event{event("StatefulSet", "db", "FailedCreate", "exceeded quota", 20*time.Minute, 10*time.Minute, 9)}
			return o
		}(), Going, ""},
		"DaemonSet serves":         {daemons(func(*appsv1.DaemonSet) {}), Serving, ""},
		"DaemonSet half updated":   {daemons(func(s *appsv1.DaemonSet) { s.Status.UpdatedNumberScheduled = 1 }), Going, ""},
		"DaemonSet without nodes":  {daemons(func(s *appsv1.DaemonSet) { s.Status = appsv1.DaemonSetStatus{ObservedGeneration: 2} }), Serving, ""},
		"DaemonSet crashes":        {with(daemons(func(s *appsv1.DaemonSet) { s.Status.NumberReady = 2 }), podOf("s", "agent-1", crashed(2, 1, "Error"), labelled("pod-template-generation", "2"))), Doomed, CrashLoop},
		"Job begins":               {job(), Going, ""},
		"Job complete":             {job(batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}), Serving, ""},
		"Job failed":               {job(batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}), Doomed, JobFailed},
		"Job too late":             {job(batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "DeadlineExceeded"}), Doomed, DeadlineExceeded},
		"Job suspended":            {job(batchv1.JobCondition{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue}), Suspect, Paused},
		"Job retries":              {with(job(), podOf("j", "migrate-1", crashed(4, 1, "Error"))), Suspect, CrashLoop},
		"Job about to be complete": {with(job(), podOf("j", "migrate-1", crashed(1, 0, "Completed"), func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })), Going, ""},
		"Job without its image":    {with(job(), podOf("j", "migrate-1", waits("ErrImagePull", "manifest unknown"))), Doomed, ImageNotFound},
		"custom, no status":        {custom(nil), Serving, ""},
		"custom, fresh":            {func() Observed { o := custom(nil); o.Workload.SetCreationTimestamp(ago(time.Second)); return o }(), Going, ""},
		"custom, ready":            {custom(saying("Ready", "True")), Serving, ""},
		"custom, not ready":        {custom(saying("Ready", "False")), Suspect, ConditionFailed},
		"custom, unknown":          {custom(saying("Ready", "Unknown")), Going, ""},
		"custom, reconciling":      {custom(saying("Reconciling", "True")), Going, ""},
		"custom, stalled":          {custom(saying("Stalled", "True")), Doomed, ConditionFailed},
		"custom, not stalled":      {custom(saying("Stalled", "False")), Serving, ""},
		"custom, of its own":       {custom(saying("Sunny", "False")), Serving, ""},
		"custom, behind":           {custom(map[string]any{"observedGeneration": int64(2), "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}), Going, ""},
		"custom, broken":           {custom("a string"), Serving, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Judge(c.o)
			if got.State != c.state || got.Reason != c.reason {
				t.Errorf("judged %s %q (%s), want %s %q", got.State, got.Reason, got.Detail, c.state, c.reason)
			}
		})
	}
}

func labelled(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

// FuzzJudge holds Judge to its promise with whatever a server may send: no
// panic, and a trouble whenever it dooms.
func FuzzJudge(f *testing.F) {
	f.Add("ErrImagePull", "not found", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 4", int32(2), int32(1), uint8(0))
	f.Add("CreateContainerConfigError", `secret "`, "FailedMount", "0/1 nodes are available: . preemption: 0/1", int32(-1), int32(0), uint8(255))
	f.Fuzz(func(t *testing.T, reason, message, about, said string, restarts, code int32, holes uint8) {
		o := first(t, func(p *corev1.Pod) {
			s := corev1.ContainerStatus{Name: "web", RestartCount: restarts}
			if holes&1 == 0 {
				s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
			}
			if holes&2 == 0 {
				s.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}
			}
			if holes&4 == 0 {
				s.State.Running = &corev1.ContainerStateRunning{}
			}
			if holes&8 == 0 {
				p.Spec.Containers = nil
			}
			if holes&16 == 0 {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: said}}
			}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{s, {}}
		}, &corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "p", FieldPath: reason}, Reason: about, Message: said}, nil)
		o.Pods = append(o.Pods, nil, &corev1.Pod{})
		o.ReplicaSets = append(o.ReplicaSets, nil, &appsv1.ReplicaSet{})
		j := Judge(o)
		if j.State == Doomed && (j.Reason == "" || j.Detail == "") {
			t.Errorf("doomed without a reason: %+v", j)
		}
		cause, next := Explain(Evidence{Kind: "Deployment", Name: "orders", Judgement: j})
		if cause == "" || next == "" {
			t.Errorf("nothing explained: %q, %q", cause, next)
		}
		if strings.ContainsAny(cause, "\n\r") {
			t.Errorf("the cause is no sentence: %q", cause)
		}
	})
}
