package metrics_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/load"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/testcluster"
)

// web runs the test service as a pod and waits until it is ready.
func web(t *testing.T, c *testcluster.T, image, name string, env ...corev1.EnvVar) {
	t.Helper()
	start(t, c, image, name, env...)
	testcluster.Eventually(t, time.Minute, "pod "+name, func(ctx context.Context) bool {
		pod, err := c.Client.Kube.CoreV1().Pods(c.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return true
			}
		}
		return false
	})
}

// start makes the pod and waits for nothing.
func start(t *testing.T, c *testcluster.T, image, name string, env ...corev1.EnvVar) {
	t.Helper()
	none := int64(2)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &none,
			Containers: []corev1.Container{{
				Name: "web", Image: image, Env: env,
				ReadinessProbe: &corev1.Probe{
					PeriodSeconds: 1,
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(3000)}},
				},
			}},
		},
	}
	if _, err := c.Client.Kube.CoreV1().Pods(c.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func lister(c *testcluster.T) metrics.Lister {
	return func(ctx context.Context) ([]corev1.Pod, error) {
		list, err := c.Client.Kube.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
}

// send puts n requests to a pod's / and gives how many were answered with 500.
func send(t *testing.T, c *testcluster.T, pod string, n int) int64 {
	t.Helper()
	client, base, err := c.Client.PodURL(c.Namespace, pod, 3000)
	if err != nil {
		t.Fatal(err)
	}
	failed := int64(0)
	for range n {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base.JoinPath("/").String(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusInternalServerError {
			failed++
		}
	}
	return failed
}

func TestReal_podsTellWhatWasSentSinceTheStart(t *testing.T) {
	c := testcluster.New(t)
	image := testcluster.Push(t, "metrics-web")
	web(t, c, image, "a", corev1.EnvVar{Name: "FAIL_RATE", Value: "0.5"})
	send(t, c, "a", 10)
	session := metrics.Pods(c.Client, 3000, "/metrics", metrics.Names{}, progress.Discard).Start(t.Context(), lister(c))
	defer session.Close()
	if m, err := session.Read(t.Context()); err != nil || m.Requests != 0 {
		t.Fatalf("at the start: %+v, %v", m, err)
	}
	web(t, c, image, "b")
	failed := send(t, c, "a", 40)
	send(t, c, "b", 20)
	m, err := session.Read(t.Context())
	if err != nil || m.Requests != 60 || m.Errors != failed || m.Latency.Count() != 60 {
		t.Fatalf("got %d requests, %d errors, %d latencies, %v; want 60, %d, 60", m.Requests, m.Errors, m.Latency.Count(), err, failed)
	}
	now := int64(0)
	if err := c.Client.Kube.CoreV1().Pods(c.Namespace).Delete(t.Context(), "b", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, 20*time.Second, "the end of b", func(ctx context.Context) bool {
		pods, err := lister(c)(ctx)
		return err == nil && len(pods) == 1
	})
	if m, err := session.Read(t.Context()); err != nil || m.Requests != 60 {
		t.Errorf("after b went: %d requests, %v; want 60", m.Requests, err)
	}
}

func TestReal_probesOfAPodThatEndsAreNoErrors(t *testing.T) {
	c := testcluster.New(t)
	image := testcluster.Push(t, "metrics-web")
	web(t, c, image, "a")
	web(t, c, image, "b")
	// No more a second than a busy machine answers in time.
	session := metrics.Probe(c.Client, 3000, "/", 20, progress.Discard).Start(t.Context(), lister(c))
	defer session.Close()
	requests := func(n int64) func(context.Context) bool {
		return func(ctx context.Context) bool {
			m, err := session.Read(ctx)
			return err == nil && m.Requests >= n
		}
	}
	testcluster.Eventually(t, 20*time.Second, "probes", requests(50))
	if err := c.Client.Kube.CoreV1().Pods(c.Namespace).Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, 20*time.Second, "the end of b", func(ctx context.Context) bool {
		pods, err := lister(c)(ctx)
		return err == nil && len(pods) == 1
	})
	testcluster.Eventually(t, 20*time.Second, "more probes", requests(150))
	m, err := session.Read(t.Context())
	if err != nil || m.Errors != 0 {
		t.Errorf("%d of %d probes failed, %v", m.Errors, m.Requests, err)
	}
	p50, _ := m.Latency.Quantile(0.5)
	t.Logf("%d probes in %v, p50 %v", m.Requests, m.Window.Round(time.Millisecond), p50)
}

func TestReal_probesTellAPodThatCrashes(t *testing.T) {
	c := testcluster.New(t)
	image := testcluster.Push(t, "metrics-web")
	web(t, c, image, "a", corev1.EnvVar{Name: "CRASH_AFTER", Value: "4s"})
	session := metrics.Probe(c.Client, 3000, "/", 50, progress.Discard).Start(t.Context(), lister(c))
	defer session.Close()
	testcluster.Eventually(t, 90*time.Second, "errors and a restart", func(ctx context.Context) bool {
		m, err := session.Read(ctx)
		return err == nil && m.Errors > 0 && m.Restarts > 0
	})
}

func TestReal_smokeRequestsGoThroughTheAPIServer(t *testing.T) {
	c := testcluster.New(t)
	image := testcluster.Push(t, "metrics-web")
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(3000)}}},
	}
	if _, err := c.Client.Kube.CoreV1().Services(c.Namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	client, base, err := c.Client.ServiceURL(c.Namespace, "web", 80)
	if err != nil {
		t.Fatal(err)
	}
	smoke, err := load.ParseSmoke("GET /readyz => 200")
	if err != nil {
		t.Fatal(err)
	}
	// A smoke request waits for ten seconds: it begins when the pod runs, which
	// may take longer, and before it is ready.
	start(t, c, image, "a", corev1.EnvVar{Name: "UNREADY", Value: "3s"})
	testcluster.Eventually(t, time.Minute, "the pod to run", func(ctx context.Context) bool {
		pod, err := c.Client.Kube.CoreV1().Pods(c.Namespace).Get(ctx, "a", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	})
	if got := smoke.Run(t.Context(), client, base, progress.Hide(nil)); got.Verdict != analysis.Pass {
		t.Errorf("while the service comes up: %+v", got)
	}
	for line, want := range map[string]analysis.Verdict{
		"GET /status?code=418 => 418":      analysis.Pass,
		"GET /status?code=503 => 503":      analysis.Pass,
		"GET / => 200 json .method == GET": analysis.Pass,
		"GET / => 200 json .method == PUT": analysis.Fail,
	} {
		smoke, err := load.ParseSmoke(line)
		if err != nil {
			t.Fatal(err)
		}
		if got := smoke.Run(t.Context(), client, base, progress.Hide(nil)); got.Verdict != want {
			t.Errorf("%s: got %+v, want %v", line, got, want)
		}
	}
}
