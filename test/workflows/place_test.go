package workflows

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// place is a user's repository with a service and workflows, and two
// namespaces to ship to.
type place struct {
	*testcluster.T
	act                 *Act
	staging, production string
	image               string // repository
	checkout            string
	kubeconfig          string
	token               string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	runner := need(t)
	c := testcluster.New(t)
	p := &place{
		T: c, act: runner, staging: c.Namespace, production: c.AddNamespace(t),
		image:    c.Registry + "/workflows-" + strings.ToLower(rand.Text()[:8]) + "/greeter",
		checkout: filepath.Join(t.TempDir(), "greeter"), token: "ghs_" + rand.Text(),
	}
	kubeconfig, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	p.kubeconfig = string(kubeconfig)
	if err := os.CopyFS(p.checkout, os.DirFS(filepath.Join("testdata", "greeter"))); err != nil {
		t.Fatal(err)
	}
	p.git(t, "init", "--quiet", "--initial-branch=main")
	p.git(t, "remote", "add", "origin", "https://github.com/acme/greeter")
	p.commit(t)
	return p
}

func (p *place) git(t *testing.T, args ...string) string {
	t.Helper()
	git := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=octocat", "-c", "user.email=octocat@example.com"}, args...)...)
	git.Dir = p.checkout
	out, err := git.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *place) commit(t *testing.T) {
	t.Helper()
	p.git(t, "add", "--all")
	p.git(t, "commit", "--quiet", "--message=a version")
}

// version commits another version of the service; fault names the environment
// where it crashes.
func (p *place) version(t *testing.T, version, fault string) {
	t.Helper()
	file := filepath.Join(p.checkout, "version.go")
	content := "package main\n\nconst (\n\tversion = \"" + version + "\"\n\tfault   = \"" + fault + "\"\n)\n"
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	p.commit(t)
}

// run runs a workflow of the repository and wants its jobs to end so; act
// fails when one of them did. Whatever the workflow, no secret may show.
func (p *place) run(t *testing.T, workflow, event string, inputs, jobs map[string]string) Outcome {
	t.Helper()
	sha := p.git(t, "rev-parse", "HEAD")
	o, err := p.act.Run(t.Context(), Call{
		Repository: p.checkout, Workflow: filepath.Join(".github", "workflows", workflow), Event: event, Inputs: inputs,
		Payload: map[string]any{
			"ref": "refs/heads/main", "after": sha, "inputs": inputs,
			"repository": map[string]any{"name": "greeter", "full_name": "acme/greeter", "default_branch": "main"},
		},
		Variables: map[string]string{"IMAGE": p.image, "STAGING": p.staging, "PRODUCTION": p.production},
		Secrets: map[string]string{
			"STAGING_KUBECONFIG": p.kubeconfig, "PRODUCTION_KUBECONFIG": p.kubeconfig, "KUBECONFIG": p.kubeconfig, "GITHUB_TOKEN": p.token,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s took %.1f s:\n%s", workflow, o.Took.Seconds(), o.Steps())
	if got := o.Jobs(); !maps.Equal(got, jobs) {
		t.Fatalf("jobs ended as %v, want %v; the log:\n%s", got, jobs, o.Log())
	}
	if failed := slices.Contains(slices.Collect(maps.Values(jobs)), "failure"); failed != (o.Exit != 0) {
		t.Errorf("act ended with exit code %d", o.Exit)
	}
	p.wantNoSecret(t, o)
	return o
}

// wantNoSecret looks for what is secret in all that act wrote. Act's own
// masking is switched off.
func (p *place) wantNoSecret(t *testing.T, o Outcome) {
	t.Helper()
	secrets := []string{p.token}
	for line := range strings.Lines(p.kubeconfig) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if key == "client-key-data" || key == "token" {
			secrets = append(secrets, value)
		}
	}
	if len(secrets) < 2 {
		t.Fatal("the kubeconfig holds no secret to look for")
	}
	for line := range strings.Lines(o.Raw) {
		if strings.Contains(line, `"command":"add-mask"`) {
			continue // what the runner is told to hide, which act tells in its JSON
		}
		for _, secret := range secrets {
			if at := strings.Index(line, secret); at >= 0 {
				t.Errorf("a secret shows in act's log: …%.200q", line[max(0, at-150):])
			}
		}
	}
}

// wantRunning wants every pod of the service in a namespace to run image.
func (p *place) wantRunning(t *testing.T, namespace, image string) {
	t.Helper()
	pods, err := p.Client.Kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=greeter"})
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.DeletionTimestamp != nil {
			continue
		}
		if running++; pod.Spec.Containers[0].Image != image {
			t.Errorf("pod %s runs %s, want %s", pod.Name, pod.Spec.Containers[0].Image, image)
		}
	}
	if running == 0 {
		t.Errorf("nothing runs in %s", namespace)
	}
}

// killBesideCanary kills what runs in containers once a canary serves in
// production; the channel tells whether it did.
func (p *place) killBesideCanary(t *testing.T) <-chan error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	killed := make(chan error, 1)
	go func() {
		defer cancel()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for !p.canaryServes(ctx) {
			select {
			case <-ctx.Done():
				killed <- fmt.Errorf("no canary served: %w", context.Cause(ctx))
				return
			case <-tick.C:
			}
		}
		killed <- p.act.engine.kill(ctx)
	}()
	return killed
}

func (p *place) canaryServes(ctx context.Context) bool {
	pods, err := p.Client.Kube.CoreV1().Pods(p.production).List(ctx, metav1.ListOptions{LabelSelector: "fibership.dev/track=canary"})
	if err != nil {
		return false
	}
	return slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool {
		return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
	})
}

// newest is the newest release of the service in an environment.
func (p *place) newest(t *testing.T, environment, namespace string) release.Record {
	t.Helper()
	h, err := history.Open(p.Client, "greeter", environment, namespace).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(h) == 0 {
		t.Fatalf("no release in %s", environment)
	}
	return h[0]
}

func wantOutputs(t *testing.T, o Outcome, want map[string]string) {
	t.Helper()
	for path, value := range want {
		parts := strings.SplitN(path, " ", 3)
		if got := o.Output(parts[0], parts[1], parts[2]); got != value {
			t.Errorf("output %s = %q, want %q", path, got, value)
		}
	}
}
