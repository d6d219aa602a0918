package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// TestWait_servesAfter seeds troubles that pass by themselves: none may doom.
func TestWait_servesAfter(t *testing.T) {
	testcluster.Need(t)
	settings := func(t *testing.T, h *house) {
		t.Helper()
		if _, err := h.Client.Kube.CoreV1().ConfigMaps(h.Namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"URL": "x"}}, metav1.CreateOptions{}); err != nil {
			t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		seen Reason // the trouble that the log must tell of; empty: none
		run  func(*testing.T, *house) release.Object
		then func(*testing.T, *house) // after the trouble was seen
	}{
		"one crash": {seen: CrashLoop, run: func(t *testing.T, h *house) release.Object {
			return h.deploy(t, h.pods(h.failing("once"), func(p *corev1.PodSpec, c *corev1.Container) {
				p.Volumes = []corev1.Volume{{Name: "state", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
				c.VolumeMounts = []corev1.VolumeMount{{Name: "state", MountPath: "/state"}}
			}))
		}},
		"a pull limit": {seen: ImagePull, run: func(t *testing.T, h *house) release.Object {
			busy := busyRegistry(t, h.Registry, 7) // containerd asks several times itself
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Image = strings.Replace(c.Image, h.Registry, busy, 1)
			}))
		}},
		"a ConfigMap that comes late": {seen: ConfigMissing, run: func(t *testing.T, h *house) release.Object {
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
				c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
			}))
		}, then: settings},
		"a volume that comes late": {seen: ConfigMissing, run: func(t *testing.T, h *house) release.Object {
			return h.deploy(t, h.pods(func(p *corev1.PodSpec, c *corev1.Container) {
				p.Volumes = []corev1.Volume{{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}}
				c.VolumeMounts = []corev1.VolumeMount{{Name: "settings", MountPath: "/settings"}}
			}))
		}, then: settings},
		"a slow start within its probes": {seen: NotReady, run: func(t *testing.T, h *house) release.Object {
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
				c.StartupProbe = probe("/readyz", 3000)
				c.StartupProbe.FailureThreshold = 20
				c.Env = []corev1.EnvVar{{Name: "UNREADY", Value: "8s"}}
			}))
		}},
		"a quota that is raised": {seen: Quota, run: func(t *testing.T, h *house) release.Object {
			h.quota(t, "pods", "0")
			return h.deploy(t, h.pods())
		}, then: func(t *testing.T, h *house) {
			if err := h.Client.Kube.CoreV1().ResourceQuotas(h.Namespace).Delete(t.Context(), "few", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}},
		"nothing at all": {run: func(t *testing.T, h *house) release.Object {
			return h.deploy(t, h.pods(), func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			log := &journal{t: t}
			o := c.run(t, h)
			done := make(chan error, 1)
			go func() {
				done <- Wait(t.Context(), h.Client, []release.Object{o}, Options{Timeout: 2 * time.Minute, Log: log})
			}()
			if c.then != nil {
				testcluster.Eventually(t, time.Minute, "the trouble", func(testContext) bool {
					return slices.ContainsFunc(log.all(), func(line string) bool { return strings.Contains(line, "suspect") })
				})
				c.then(t, h)
			}
			if err := <-done; err != nil {
				t.Fatalf("Wait: %v", err)
			}
			lines := log.all()
			if lines[len(lines)-1] != "orders: serving" {
				t.Errorf("the last line is %q", lines[len(lines)-1])
			}
			if told := strings.Contains(strings.Join(lines, "\n"), "suspect"); c.seen != "" && !told {
				t.Error("the log does not tell of the trouble")
			}
		})
	}
}

// busyRegistry passes pulls on, after it has limited the first few.
func busyRegistry(t *testing.T, to string, limited int32) (host string) {
	t.Helper()
	var asked atomic.Int32
	next := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") && asked.Add(1) <= limited {
			http.Error(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"unauthorized or not found: you have reached your pull rate limit"}]}`, http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestWait_withFewRights(t *testing.T) {
	h := newHouse(t)
	read := []string{"get", "list", "watch"}
	c := h.Limited(t, rbac.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments", "replicasets"}, Verbs: read},
		rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: read})
	o := h.deploy(t, h.pods(h.failing("env")))
	f := fails(t, c, Options{}, o)
	notes := strings.Join(f.Dossier.Notes, "\n")
	if f.Reason != CrashLoop || !strings.Contains(notes, "events cannot be read") || !strings.Contains(notes, "log of container web") {
		t.Errorf("reason %s, notes %q", f.Reason, notes)
	}
}

func TestWait_withoutTheRightToTheWorkload(t *testing.T) {
	h := newHouse(t)
	c := h.Limited(t, rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}})
	o := h.deploy(t, h.pods())
	err := Wait(t.Context(), c, []release.Object{o}, Options{Timeout: 20 * time.Second})
	if err == nil || !strings.Contains(err.Error(), "deployments cannot be read") {
		t.Errorf("Wait gave %v", err)
	}
}

func TestWait_showsNoPlantedSecret(t *testing.T) {
	h := newHouse(t)
	o := h.deploy(t, h.pods(h.failing("leak"), func(_ *corev1.PodSpec, c *corev1.Container) {
		c.Env = []corev1.EnvVar{{Name: "LICENSE", Value: "f00-planted-value"}}
	}))
	f := fails(t, h.Client, Options{Hide: progress.Hide([]string{"f00-planted-value"})}, o)
	var all []string
	f.Dossier.each(func(s string) string { all = append(all, s); return s })
	text := strings.Join(append(all, f.Error(), f.Detail), "\n")
	for _, planted := range []string{"hunter2secret", "abcdef0123456789", "planted-in-json", "f00-planted-value"} {
		if strings.Contains(text, planted) {
			t.Errorf("%q is shown:\n%s", planted, text)
		}
	}
	if !strings.Contains(text, "postgres://orders:***@db/orders") {
		t.Errorf("the log is not there:\n%s", text)
	}
}

// soon wants something within a bound, in one of three attempts: a busy machine
// makes one of them late, what is late by itself is so each time.
func soon(t *testing.T, what string, bound time.Duration, late func() time.Duration) {
	t.Helper()
	for range 3 {
		took := late()
		t.Logf("%s: %s", what, took.Round(time.Millisecond))
		if took <= bound {
			return
		}
	}
	t.Errorf("%s: more than %s in each of three attempts", what, bound)
}

// TestWait_isQuick holds the verdict against an observer of its own: it may
// come no later than half a second after the fact can be read. No other test of
// the package runs beside it.
func TestWait_isQuick(t *testing.T) {
	testcluster.Need(t)
	for name, c := range map[string]struct {
		change func(*house) func(*corev1.PodSpec, *corev1.Container)
		fact   func(*corev1.ContainerStatus) bool
	}{
		"second crash": {
			func(h *house) func(*corev1.PodSpec, *corev1.Container) { return h.failing("panic") },
			func(s *corev1.ContainerStatus) bool { n, _ := crashes(s); return n > 1 },
		},
		"image not found": {func(h *house) func(*corev1.PodSpec, *corev1.Container) {
			return func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = h.Registry + "/nothing:1" }
		}, func(s *corev1.ContainerStatus) bool {
			return s.State.Waiting != nil && s.State.Waiting.Reason == "ErrImagePull"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			soon(t, "the verdict after the fact", 500*time.Millisecond, func() time.Duration {
				h := newHouseAlone(t)
				o := h.deploy(t, h.pods(c.change(h)))
				seen := make(chan time.Time, 1)
				go func() {
					for t.Context().Err() == nil {
						pods, err := h.Client.Kube.CoreV1().Pods(h.Namespace).List(t.Context(), metav1.ListOptions{})
						if err == nil && len(pods.Items) > 0 && len(pods.Items[0].Status.ContainerStatuses) > 0 && c.fact(&pods.Items[0].Status.ContainerStatuses[0]) {
							seen <- time.Now()
							return
						}
						<-time.After(20 * time.Millisecond)
					}
				}()
				fails(t, h.Client, Options{}, o)
				ended := time.Now()
				return ended.Sub(<-seen)
			})
		})
	}
}

func TestLook(t *testing.T) {
	h := newHouse(t)
	good := h.deploy(t, h.pods())
	if err := Wait(t.Context(), h.Client, []release.Object{good}, Options{Timeout: 30 * time.Second}); err != nil {
		t.Fatal(err)
	}
	gone := good
	gone.Name = "gone"
	got, err := Look(t.Context(), h.Client, []release.Object{{APIVersion: "v1", Kind: "Service", Namespace: h.Namespace, Name: "orders"}, good, gone})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].State != Serving || got[1].State != Serving || got[1].Ready != 1 || got[2].Reason != Missing {
		t.Errorf("got %+v", got)
	}
}

// TestWait_noCachedAnswer asks for a generation that is not there yet: what
// serves is the one before.
func TestWait_noCachedAnswer(t *testing.T) {
	h := newHouse(t)
	o := h.deploy(t, h.pods())
	if err := Wait(t.Context(), h.Client, []release.Object{o}, Options{Timeout: 30 * time.Second}); err != nil {
		t.Fatal(err)
	}
	o.Seen = "g2"
	fails(t, h.Client, Options{Timeout: 2 * time.Second}, o)
}

// TestWait_rollsOnAndBack goes the way of a release that fails past its
// deadline and is undone: what the failure left in the Deployment's conditions
// must not doom the undo.
func TestWait_rollsOnAndBack(t *testing.T) {
	h := newHouse(t)
	o := h.deploy(t, h.pods(), func(d *appsv1.Deployment) {
		d.Spec.Replicas = new(int32(2))
	})
	if err := Wait(t.Context(), h.Client, []release.Object{o}, Options{Timeout: 30 * time.Second}); err != nil {
		t.Fatal(err)
	}
	o.Seen = h.update(t, func(d *appsv1.Deployment) {
		d.Spec.ProgressDeadlineSeconds = new(int32(6)) // for what fails only: the first rollout may take longer
		d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "UNREADY", Value: "true"}}
	})
	f := fails(t, h.Client, Options{Timeout: 40 * time.Second}, o)
	if f.Old != 2 || f.Want != 2 || f.Ready != 0 || f.Timeout != 0 {
		t.Errorf("got %+v", f.Judgement)
	}
	o.Seen = h.update(t, func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Env = nil })
	if err := Wait(t.Context(), h.Client, []release.Object{o}, Options{Timeout: 30 * time.Second, Log: &journal{t: t}}); err != nil {
		t.Errorf("the undo: %v", err)
	}
}

// update changes Deployment orders and gives what was seen of it.
func (h *house) update(t *testing.T, change func(*appsv1.Deployment)) string {
	t.Helper()
	all := h.Client.Kube.AppsV1().Deployments(h.Namespace)
	for {
		d, err := all.Get(t.Context(), "orders", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(d)
		if d, err = all.Update(t.Context(), d, metav1.UpdateOptions{}); err == nil {
			return fmt.Sprintf("g%d", d.Generation)
		} else if !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
	}
}

// TestWait_severalAtOnce waits for workloads that share a namespace, of which
// one fails, and counts the requests.
func TestWait_severalAtOnce(t *testing.T) {
	h := newHouse(t)
	var asked atomic.Int32
	config := rest.CopyConfig(h.Client.REST)
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) { asked.Add(1); return next.RoundTrip(r) })
	}
	c, err := cluster.New(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	called := func(name string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Name = name
			d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
			d.Spec.Template.Labels = map[string]string{"app": name}
		}
	}
	objs := []release.Object{
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: h.Namespace, Name: "settings"},
		h.deploy(t, h.pods(), called("orders")), h.deploy(t, h.pods(), called("stock")),
		h.run(t, batchv1.JobSpec{Template: h.pods(h.failing("exit"))}),
	}
	if err := Wait(t.Context(), c, objs, Options{Timeout: 40 * time.Second, Log: &journal{t: t}}); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n > 12 {
		t.Errorf("%d requests, want at most 12", n)
	} else {
		t.Logf("%d requests", n)
	}
	objs = append(objs, h.deploy(t, h.pods(h.failing("panic")), called("bad")))
	if f := fails(t, c, Options{}, objs...); f.Object.Name != "bad" {
		t.Errorf("%s is blamed", f.Object)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWait_asFastAsKubectl runs kubectl rollout status beside Wait, and no other
// test of the package.
func TestWait_asFastAsKubectl(t *testing.T) {
	testcluster.Need(t)
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("needs kubectl")
	}
	soon(t, "Wait after kubectl", 300*time.Millisecond, func() time.Duration {
		h := newHouseAlone(t)
		o := h.deploy(t, h.pods(), func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(2)) })
		kubectl := make(chan time.Time, 1)
		go func() {
			out, err := exec.CommandContext(t.Context(), "kubectl", "-n", h.Namespace, "rollout", "status", "deployment/orders").CombinedOutput()
			if err != nil {
				t.Errorf("kubectl: %v: %s", err, out)
			}
			kubectl <- time.Now()
		}()
		if err := Wait(t.Context(), h.Client, []release.Object{o}, Options{Timeout: 30 * time.Second}); err != nil {
			t.Fatal(err)
		}
		ours := time.Now()
		return ours.Sub(<-kubectl)
	})
}

func TestWait_endsWithItsContext(t *testing.T) {
	h := newHouse(t)
	o := h.deploy(t, h.pods(), func(d *appsv1.Deployment) { d.Spec.Paused = true })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	err := Wait(ctx, h.Client, []release.Object{o}, Options{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 6*time.Second {
		t.Errorf("Wait gave %v after %s", err, time.Since(begun))
	}
}
