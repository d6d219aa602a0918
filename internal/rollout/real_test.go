package rollout

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// house is a namespace on the real cluster with what workloads are made of.
type house struct {
	*testcluster.T
	web, trouble string // images
}

func newHouse(t *testing.T) *house {
	t.Helper()
	t.Parallel()
	return newHouseAlone(t)
}

// newHouseAlone is a house for a test that runs beside no other.
func newHouseAlone(t *testing.T) *house {
	t.Helper()
	h := &house{T: testcluster.New(t)}
	h.web, h.trouble = testcluster.Push(t, "rollout-web"), pushTrouble(t, h.Registry)
	return h
}

// planted is a secret that every container of these tests is given, and that
// the program for trouble tells.
const planted = "planted-4f1c9a"

// pods is a template of one container of the web service that is ready when
// /readyz says so.
func (h *house) pods(change ...func(*corev1.PodSpec, *corev1.Container)) corev1.PodTemplateSpec {
	spec := corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64(1)),
		Containers: []corev1.Container{{
			Name: "web", Image: h.web,
			ReadinessProbe: probe("/readyz", 3000),
		}},
	}
	for _, c := range change {
		c(&spec, &spec.Containers[0])
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			list[i].Env = append(list[i].Env, corev1.EnvVar{Name: "PLANTED", Value: planted})
		}
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "orders"}}, Spec: spec}
}

func probe(path string, port int) *corev1.Probe {
	return &corev1.Probe{
		PeriodSeconds: 1, TimeoutSeconds: 5, // a busy machine makes no pod unready
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(port)}},
	}
}

// failing runs the program for trouble instead of the service.
func (h *house) failing(how string) func(*corev1.PodSpec, *corev1.Container) {
	return func(_ *corev1.PodSpec, c *corev1.Container) {
		c.Image, c.Command, c.ReadinessProbe = h.trouble, []string{"/trouble", how}, nil
	}
}

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "orders"}}

func (h *house) deploy(t *testing.T, pods corev1.PodTemplateSpec, change ...func(*appsv1.Deployment)) release.Object {
	t.Helper()
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(1)), Selector: selector, Template: pods},
	}
	for _, c := range change {
		c(d)
	}
	made, err := h.Client.Kube.AppsV1().Deployments(h.Namespace).Create(t.Context(), d, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return h.object("apps/v1", "Deployment", made)
}

func (h *house) object(version, kind string, o metav1.Object) release.Object {
	return release.Object{APIVersion: version, Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID()), Seen: "g1"}
}

func (h *house) run(t *testing.T, spec batchv1.JobSpec) release.Object {
	t.Helper()
	spec.Template.Labels = nil
	spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	made, err := h.Client.Kube.BatchV1().Jobs(h.Namespace).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "migrate"}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return h.object("batch/v1", "Job", made)
}

// fails waits and wants a Failure.
func fails(t *testing.T, c *cluster.Client, o Options, objs ...release.Object) *Failure {
	t.Helper()
	log := &journal{t: t, spoke: time.Now()}
	o.Log = log
	err := Wait(t.Context(), c, objs, o)
	log.beat(time.Now())
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("Wait gave %v, not a *Failure", err)
	}
	t.Logf("after %s: %s\n  reason %s, count %d\n  next: %s\n  notes: %q", f.After.Round(10*time.Millisecond), f, f.Reason, f.Count, f.Next(), f.Dossier.Notes)
	return f
}

type seed struct {
	reason  Reason   // empty: differs by runtime
	says    []string // the cause holds them all
	timeout time.Duration
	make    func(*testing.T, *house) release.Object
}

// TestWait_namesTheCause seeds failures on the real cluster, one a namespace.
func TestWait_namesTheCause(t *testing.T) {
	testcluster.Need(t)
	deploy := func(change ...func(*house) func(*corev1.PodSpec, *corev1.Container)) func(*testing.T, *house) release.Object {
		return func(t *testing.T, h *house) release.Object {
			var all []func(*corev1.PodSpec, *corev1.Container)
			for _, c := range change {
				all = append(all, c(h))
			}
			return h.deploy(t, h.pods(all...))
		}
	}
	set := func(change func(*corev1.PodSpec, *corev1.Container)) func(*house) func(*corev1.PodSpec, *corev1.Container) {
		return func(*house) func(*corev1.PodSpec, *corev1.Container) { return change }
	}
	fail := func(how string) func(*house) func(*corev1.PodSpec, *corev1.Container) {
		return func(h *house) func(*corev1.PodSpec, *corev1.Container) { return h.failing(how) }
	}
	command := func(path string) func(*house) func(*corev1.PodSpec, *corev1.Container) {
		return func(h *house) func(*corev1.PodSpec, *corev1.Container) {
			return func(_ *corev1.PodSpec, c *corev1.Container) { c.Image, c.Command = h.trouble, []string{path} }
		}
	}
	named := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

	for name, s := range map[string]seed{
		"crash at start": {CrashLoop, []string{"exit code 3", "fatal: crashing after 0s"}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "CRASH_AFTER", Value: "0s"}}
		}))},
		"panic":            {CrashLoop, []string{"exit code 2", "panic: assignment to entry in nil map"}, 0, deploy(fail("panic"))},
		"ends at once":     {Completed, []string{"exit code 0"}, 0, deploy(fail("exit"))},
		"variable missing": {CrashLoop, []string{"variable or setting is missing", "DATABASE_URL"}, 0, deploy(fail("env"))},
		"out of memory": {OutOfMemory, []string{"memory", "32Mi"}, 0, deploy(fail("memory"), set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("32Mi")}
		}))},
		"read-only": {CrashLoop, []string{"read-only file system"}, 0, deploy(fail("write"), set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: new(true)}
		}))},
		"other platform":       {"", []string{"exec format error"}, 0, deploy(command("/foreign"))},
		"executable not found": {CannotStart, []string{"executable /nothing not found"}, 0, deploy(command("/nothing"))},
		"not executable":       {CannotStart, []string{"permission denied", "/plain"}, 0, deploy(command("/plain"))},
		"init container": {CrashLoop, []string{"init container migrate", "exit code 4", "column total exists"}, 0, deploy(func(h *house) func(*corev1.PodSpec, *corev1.Container) {
			return func(p *corev1.PodSpec, _ *corev1.Container) {
				p.InitContainers = []corev1.Container{{Name: "migrate", Image: h.trouble, Command: []string{"/trouble", "fail"}}}
			}
		})},
		"runs as root": {RunsAsRoot, []string{"runAsNonRoot"}, 0, deploy(fail("serve"), set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{RunAsNonRoot: new(true)}
		}))},
		"ConfigMap missing": {ConfigMissing, []string{`ConfigMap "settings" is not there`}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: named("settings")}}}
		}))},
		"Secret missing in a volume": {ConfigMissing, []string{`Secret "keys" is not there`}, 0, deploy(set(func(p *corev1.PodSpec, c *corev1.Container) {
			p.Volumes = []corev1.Volume{{Name: "keys", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}}}
			c.VolumeMounts = []corev1.VolumeMount{{Name: "keys", MountPath: "/keys"}}
		}))},
		"key missing": {ConfigMissing, []string{"key url is missing in ConfigMap settings"}, 0, func(t *testing.T, h *house) release.Object {
			if _, err := h.Client.Kube.CoreV1().ConfigMaps(h.Namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Env = []corev1.EnvVar{{Name: "URL", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: named("settings"), Key: "url"}}}}
			}))
		}},
		"claim missing": {ClaimMissing, []string{`PersistentVolumeClaim "data" is not there`}, 0, deploy(set(func(p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		}))},
		"service account missing": {ConfigMissing, []string{`ServiceAccount "robot" is not there`}, 0, deploy(set(func(p *corev1.PodSpec, _ *corev1.Container) {
			p.ServiceAccountName = "robot"
		}))},
		"image not found": {ImageNotFound, []string{"image not found", "/nothing:1"}, 0, deploy(func(h *house) func(*corev1.PodSpec, *corev1.Container) {
			return func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = h.Registry + "/nothing:1" }
		})},
		"image unauthorized": {ImageUnauthorized, []string{"unauthorized"}, 0, func(t *testing.T, h *house) release.Object {
			host := answering(t, 401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = host + "/closed:1" }))
		}},
		"image invalid": {ImageInvalid, []string{"invalid image name"}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) { c.Image = "Orders:1" }))},
		"quota": {Quota, []string{"quota few", "used up"}, 0, func(t *testing.T, h *house) release.Object {
			h.quota(t, "pods", "0")
			return h.deploy(t, h.pods())
		}},
		"LimitRange": {Refused, []string{"LimitRange"}, 0, func(t *testing.T, h *house) release.Object {
			limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")}}}}}
			if _, err := h.Client.Kube.CoreV1().LimitRanges(h.Namespace).Create(t.Context(), limits, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
			}))
		}},
		"Pod Security": {Refused, []string{"Pod Security level restricted"}, 0, func(t *testing.T, h *house) release.Object {
			ns, err := h.Client.Kube.CoreV1().Namespaces().Get(t.Context(), h.Namespace, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ns.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
			if _, err := h.Client.Kube.CoreV1().Namespaces().Update(t.Context(), ns, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			return h.deploy(t, h.pods())
		}},
		"too large for any node": {Unschedulable, []string{"no node has enough cpu"}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500")}
		}))},
		"no such node": {Unschedulable, []string{"nodeSelector"}, 0, deploy(set(func(p *corev1.PodSpec, _ *corev1.Container) {
			p.NodeSelector = map[string]string{"disk": "of-gold"}
		}))},
		"readiness 404": {NotReady, []string{"readiness probe is answered with 404"}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.ReadinessProbe = probe("/status?code=404", 3000)
		}))},
		"readiness 503": {NotReady, []string{"answered with 503"}, 30 * time.Second, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "UNREADY", Value: "true"}}
		}))},
		"wrong port": {NotReady, []string{"nothing listens on port 4000"}, 30 * time.Second, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.ReadinessProbe = probe("/readyz", 4000)
		}))},
		"liveness": {LivenessKills, []string{"liveness probe fails"}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.LivenessProbe = probe("/status?code=500", 3000)
			c.LivenessProbe.FailureThreshold = 1
			c.Env = []corev1.EnvVar{{Name: "UNREADY", Value: "true"}}
		}))},
		"startup too slow": {StartupTooSlow, []string{"startup probe"}, 0, deploy(set(func(_ *corev1.PodSpec, c *corev1.Container) {
			c.StartupProbe = probe("/readyz", 3000)
			c.StartupProbe.FailureThreshold = 2
			c.Env = []corev1.EnvVar{{Name: "UNREADY", Value: "true"}}
		}))},
		"progress deadline": {NotReady, []string{"readiness probe"}, 0, func(t *testing.T, h *house) release.Object {
			return h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
				c.Env = []corev1.EnvVar{{Name: "UNREADY", Value: "true"}}
			}), func(d *appsv1.Deployment) { d.Spec.ProgressDeadlineSeconds = new(int32(12)) })
		}},
		"Job fails": {JobFailed, []string{"exit code 4", "column total exists already"}, 0, func(t *testing.T, h *house) release.Object {
			return h.run(t, batchv1.JobSpec{BackoffLimit: new(int32(0)), Template: h.pods(h.failing("fail"))})
		}},
		"Job takes too long": {DeadlineExceeded, []string{"activeDeadlineSeconds"}, 0, func(t *testing.T, h *house) release.Object {
			return h.run(t, batchv1.JobSpec{ActiveDeadlineSeconds: new(int64(3)), Template: h.pods(h.failing("sleep"))})
		}},
		"StatefulSet": {CrashLoop, []string{"StatefulSet orders", "exit code 2"}, 0, func(t *testing.T, h *house) release.Object {
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "orders"}, Spec: appsv1.StatefulSetSpec{Replicas: new(int32(2)), Selector: selector, Template: h.pods(h.failing("panic"))}}
			made, err := h.Client.Kube.AppsV1().StatefulSets(h.Namespace).Create(t.Context(), set, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return h.object("apps/v1", "StatefulSet", made)
		}},
		"DaemonSet": {CrashLoop, []string{"DaemonSet orders", "exit code 2"}, 0, func(t *testing.T, h *house) release.Object {
			set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "orders"}, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: h.pods(h.failing("panic"))}}
			made, err := h.Client.Kube.AppsV1().DaemonSets(h.Namespace).Create(t.Context(), set, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return h.object("apps/v1", "DaemonSet", made)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			o := s.make(t, h)
			f := fails(t, h.Client, Options{Timeout: s.timeout}, o)
			if f.Reason != s.reason && s.reason != "" {
				t.Errorf("the reason is %s, want %s (%s)", f.Reason, s.reason, f.Detail)
			}
			for _, want := range s.says {
				if !strings.Contains(f.Error(), want) {
					t.Errorf("the cause does not say %q: %s", want, f)
				}
			}
			if (f.Timeout > 0) != (s.timeout > 0) {
				t.Errorf("timed out: %v, want %v", f.Timeout > 0, s.timeout > 0)
			}
			if t.Failed() {
				t.Logf("the dossier: %+v", f.Dossier)
			}
			if f.Next() == "" {
				t.Error("there is no next step")
			}
			var all []string
			f.Dossier.each(func(s string) string { all = append(all, s); return s })
			if text := strings.Join(append(all, f.Error(), f.Detail, f.Next()), "\n"); strings.Contains(text, planted) {
				t.Errorf("a secret is shown:\n%s", text)
			}
		})
	}
}

func (h *house) quota(t *testing.T, what, much string) {
	t.Helper()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceName(what): resource.MustParse(much)}}}
	if _, err := h.Client.Kube.CoreV1().ResourceQuotas(h.Namespace).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// The quota controller counts first what is there.
	testcluster.Eventually(t, time.Minute, "the quota", func(ctx testContext) bool {
		q, err := h.Client.Kube.CoreV1().ResourceQuotas(h.Namespace).Get(ctx, "few", metav1.GetOptions{})
		return err == nil && len(q.Status.Hard) > 0
	})
}

// pushTrouble puts the program for trouble into the registry, with a file
// that is no program for this platform and one that may not be executed.
func pushTrouble(t *testing.T, registry string) string {
	t.Helper()
	layer, err := troubleLayer()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, v1.Config{Entrypoint: []string{"/trouble"}}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	repository, err := ggcr.NewRepository(registry+"/rollout-trouble", ggcr.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	ref := repository.Digest(digest.String())
	if err := remote.Write(ref, img, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

var troubleLayer = sync.OnceValues(func() (v1.Layer, error) {
	dir, err := os.MkdirTemp("", "trouble")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "trouble")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./testdata/trouble")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for _, f := range []struct {
		name    string
		mode    int64
		content []byte
	}{
		{"trouble", 0o755, program},
		{"plain", 0o644, program},
		{"foreign", 0o755, []byte("\x00\x00 for no platform at all")},
	} {
		if err := archive.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content))}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
})
