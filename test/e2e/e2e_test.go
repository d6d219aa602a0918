// Package e2e tests the actions whole: the real binaries, run as the runner
// would, on the real cluster and registry, with real requests.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/runner"
)

// bin is the folder of the binaries under test.
var bin string

func TestMain(m *testing.M) { os.Exit(build(m)) }

// build compiles the actions once for all tests.
func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fibership-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	if os.Getenv("FIBERSHIP_TEST_CLUSTER") != "" {
		compile := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir, "../../cmd/...")
		compile.Env = append(os.Environ(), "CGO_ENABLED=0") // as they are shipped: they run in images, too
		out, err := compile.CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "compile the actions: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// place is one service in two environments, a namespace each.
type place struct {
	*testcluster.T
	t                   *testing.T
	staging, production string
	workspace           string
	kubeconfig          string // empty: the cluster's own
	timeout             string
	committed           string // when the commit was made; empty: the event does not say
	foreign             string // an image that no node runs; empty: none was made
	github              string // the URL of GitHub's API; empty: nobody needs it
}

func newPlace(t *testing.T) *place {
	t.Helper()
	t.Parallel()
	return newPlaceAlone(t)
}

// newPlaceAlone is a place for a test that runs beside no other.
func newPlaceAlone(t *testing.T) *place {
	t.Helper()
	c := testcluster.New(t)
	return &place{T: c, t: t, staging: c.Namespace, production: c.AddNamespace(t), workspace: t.TempDir(), timeout: "90s"}
}

// step is one use of an action, with what every use here has.
func (p *place) step(action string, inputs map[string]string) runner.Step {
	all := map[string]string{"service": "web", "timeout": p.timeout}
	switch action {
	case "deploy-staging":
		all["namespace"], all["port"] = p.staging, "8080"
	case "promote":
		all["namespace"], all["port"], all["from-namespace"] = p.production, "8080", p.staging
		all["watch"], all["step-duration"] = "2s", "3s"
	case "rollback":
		all["namespace"] = p.production
	}
	for name, value := range inputs {
		all[name] = value
	}
	if p.kubeconfig != "" {
		all["kubeconfig"] = p.kubeconfig
	}
	env := map[string]string{"GITHUB_REPOSITORY": "acme/web", "GITHUB_ACTOR": "e2e", "GITHUB_SHA": strings.Repeat("ab", 20), "GITHUB_REF": "refs/heads/main"}
	if p.committed != "" {
		p.file(".event.json", `{"head_commit": {"timestamp": "`+p.committed+`"}}`)
		env["GITHUB_EVENT_PATH"] = filepath.Join(p.workspace, ".event.json")
	}
	if p.github != "" {
		env["GITHUB_API_URL"], env["GITHUB_SERVER_URL"], env["GITHUB_RUN_ID"] = p.github, "https://github.com", "42"
	}
	return runner.Step{Binary: filepath.Join(bin, action), Inputs: all, Workspace: p.workspace, Env: env}
}

// run runs an action and wants it to end with the exit code.
func (p *place) run(exit int, action string, inputs map[string]string) runner.Outcome {
	p.t.Helper()
	o, err := p.step(action, inputs).Run(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if o.Exit != exit {
		p.t.Fatalf("%s ended with exit code %d, want %d; its log:\n%s", action, o.Exit, exit, o.Log)
	}
	return o
}

// deploy and promote want to succeed.
func (p *place) deploy(image string, inputs map[string]string) runner.Outcome {
	p.t.Helper()
	return p.run(0, "deploy-staging", with(inputs, "image", image))
}

func with(inputs map[string]string, name, value string) map[string]string {
	all := map[string]string{name: value}
	for n, v := range inputs {
		all[n] = v
	}
	return all
}

// image is the test service under a version of its own.
func (p *place) image(version string) string {
	p.t.Helper()
	return testcluster.PushVersion(p.t, "e2e/web", version)
}

// file writes a file of the workspace.
func (p *place) file(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.workspace, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// history is what the cluster knows of the service in an environment.
func (p *place) history(environment, namespace string) release.History {
	p.t.Helper()
	h, err := history.Open(p.Client, "web", environment, namespace).List(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return h
}

// images is what the pods of a namespace run that are not ending, each once.
func (p *place) images(namespace string) []string {
	p.t.Helper()
	pods, err := p.Client.Kube.CoreV1().Pods(namespace).List(p.t.Context(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	var images []string
	seen := map[string]bool{}
	for _, pod := range pods.Items {
		if image := pod.Spec.Containers[0].Image; pod.DeletionTimestamp == nil && !seen[image] {
			seen[image] = true
			images = append(images, image)
		}
	}
	return images
}

// url is the service of a namespace, in the cluster's network.
func (p *place) url(namespace string) string {
	p.t.Helper()
	s, err := p.Client.Kube.CoreV1().Services(namespace).Get(p.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf("http://%s:%d/", s.Spec.ClusterIP, s.Spec.Ports[0].Port)
}

// nothing wants a namespace to hold nothing that we wrote, but for the lock.
func (p *place) nothing(namespace string) {
	p.t.Helper()
	ctx := p.t.Context()
	deployments, err := p.Client.Kube.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	secrets, err := p.Client.Kube.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(deployments.Items) > 0 || len(secrets.Items) > 0 {
		p.t.Errorf("%d deployments and %d secrets were written", len(deployments.Items), len(secrets.Items))
	}
}

// contains wants a text to hold every word.
func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q is missing in:\n%s", word, text)
		}
	}
}

// outputs wants outputs to be so.
func outputs(t *testing.T, o runner.Outcome, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if o.Outputs[name] != value {
			t.Errorf("output %s = %q, want %q; the log:\n%s", name, o.Outputs[name], value, o.Log)
		}
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("decode %q: %v", text, err)
	}
	return value
}

func eventually(t *testing.T, what string, ok func(context.Context) bool) {
	t.Helper()
	testcluster.Eventually(t, time.Minute, what, ok)
}

// pods counts the pods that a selector finds and that are not ending.
func (p *place) pods(namespace, selector string) int {
	p.t.Helper()
	list, err := p.Client.Kube.CoreV1().Pods(namespace).List(p.t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

// get is the body of an answer.
func (p *place) get(url string) string {
	p.t.Helper()
	answer, err := ask(p.t.Context(), fresh, url)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// fresh opens a connection for each request: a kept one goes on to the pod that
// it was opened to.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// answers wants twenty answers in a row to hold a word. The network learns of a
// rollout a moment after it is complete, and until then the ending pods answer
// too: that moment, twenty seconds at the most on a busy machine, is waited for.
func (p *place) answers(namespace, word string) {
	p.t.Helper()
	url := p.url(namespace)
	testcluster.Eventually(p.t, 20*time.Second, "twenty answers in a row with "+word, func(ctx context.Context) bool {
		for range 20 {
			answer, err := ask(ctx, fresh, url)
			if err != nil || !strings.Contains(answer, word) {
				return false
			}
		}
		return true
	})
}

// warmReady says whether all pods that are kept warm are ready.
func (p *place) warmReady(ctx context.Context) bool {
	list, err := p.Client.Kube.BatchV1().Jobs(p.production).List(ctx, metav1.ListOptions{LabelSelector: "fibership.dev/warm"})
	if err != nil || len(list.Items) == 0 {
		return false
	}
	for _, j := range list.Items {
		if j.Status.Ready == nil || *j.Status.Ready != *j.Spec.Parallelism {
			return false
		}
	}
	return true
}

// limited is the kubeconfig of a service account that may look and keep
// records, and may not apply anything.
func (p *place) limited() string {
	p.t.Helper()
	c := p.Limited(p.t,
		rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets", "pods"}, Verbs: []string{"*"}},
		rbac.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: []string{"*"}},
		rbac.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"*"}},
	)
	return kubeconfig(p.t, c, c.REST.BearerToken)
}

// kubeconfig is the way to a client's cluster with a token.
func kubeconfig(t *testing.T, c *cluster.Client, token string) string {
	t.Helper()
	config, err := clientcmd.Write(clientcmdapi.Config{
		CurrentContext: "limited",
		Contexts:       map[string]*clientcmdapi.Context{"limited": {Cluster: "test", AuthInfo: "limited"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: c.REST.Host, CertificateAuthorityData: c.REST.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"limited": {Token: token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}
