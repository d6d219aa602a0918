package kill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// service is the name of what every lane deploys.
const service = "web"

// Victim is an action that is killed, and with which inputs.
type Victim struct {
	Name   string // for people
	Action string
	Inputs map[string]string
	Exit   int     // the exit code with which it ends by itself
	Of     *Victim // of a rollback: what brought the release that it leaves; nil: deploy-staging
	Wreck  *Wreck  // what it finds; nil: all is in order
	Rename bool    // each release's Deployment has another name than the one before
	Routed bool    // users come by a gateway, which the release's route is for
}

// Wreck is what a run that was killed before has left.
type Wreck struct {
	Of Victim
	At Point
}

// Victims is every action that changes an environment, each way it does so.
var Victims = []Victim{
	{Name: "deploy-staging", Action: "deploy-staging"},
	{Name: "deploy-staging under another name", Action: "deploy-staging", Rename: true},
	tested,
	{Name: "deploy-staging whose tests fail", Action: "deploy-staging", Exit: 1, Inputs: map[string]string{"integration-tests": "fails.yaml"}},
	{Name: "promote rolling", Action: "promote", Inputs: map[string]string{"strategy": "rolling", "watch": "1s"}},
	canary,
	{Name: "promote canary that is aborted", Action: "promote", Exit: 1, Inputs: map[string]string{
		"strategy": "canary", "steps": "50%", "step-duration": "1s", "watch": "1s", "analysis": "p50 < 1us",
	}},
	blueGreen,
	gateway,
	{Name: "promote blue-green by gateway", Action: "promote", Routed: true, Inputs: map[string]string{
		"strategy": "blue-green", "traffic": "gateway", "step-duration": "1s", "watch": "1s", "port": "3000",
	}},
	ramp,
	keeping,
	{Name: "rollback", Action: "rollback"},
	{Name: "rollback to a warm release", Action: "rollback", Of: &keeping},
	{Name: "settling a canary", Action: "rollback", Inputs: map[string]string{"to": "live"}, Wreck: &Wreck{Of: canary, At: Point{Line: "canary?fieldManager", Moment: Answered}}},
	{Name: "settling green", Action: "rollback", Inputs: map[string]string{"to": "live"}, Wreck: &Wreck{Of: blueGreen, At: Point{Line: "/deployments/web?fieldManager", Moment: Answered}}},
	{Name: "settling a route", Action: "rollback", Inputs: map[string]string{"to": "live"}, Routed: true, Wreck: &Wreck{Of: gateway, At: Point{Line: "/httproutes/web?fieldManager", Moment: Answered}}},
	{Name: "settling a rollout", Action: "rollback", Inputs: map[string]string{"to": "live"}, Wreck: &Wreck{Of: canary, At: Point{Line: "/deployments/web?fieldManager", Moment: Answered}}},
}

var (
	blueGreen = Victim{Name: "promote blue-green", Action: "promote", Inputs: map[string]string{"strategy": "blue-green", "step-duration": "1s", "watch": "1s"}}
	gateway   = Victim{Name: "promote by gateway", Action: "promote", Routed: true, Inputs: map[string]string{
		"strategy": "canary", "traffic": "gateway", "steps": "50%", "step-duration": "1s", "watch": "1s", "port": "3000",
	}}
)

// tested has a Job before it, smoke tests and a Job after it.
var tested = Victim{Name: "deploy-staging with tests", Action: "deploy-staging", Inputs: map[string]string{
	"before": "before.yaml", "smoke-tests": "GET / => 200", "integration-tests": "passes.yaml",
}}

// keeping leaves the release before it running, without traffic.
var keeping = Victim{Name: "promote keeping the release before", Action: "promote", Inputs: map[string]string{
	"strategy": "rolling", "watch": "1s", "keep-previous": "10m",
}}

var canary = Victim{Name: "promote canary", Action: "promote", Inputs: map[string]string{"strategy": "canary", "steps": "50%", "step-duration": "1s", "watch": "1s"}}

var ramp = Victim{Name: "promote with a ramp", Action: "promote", Inputs: map[string]string{
	"strategy": "rolling", "watch": "1s", "step-duration": "1s", "flags": "flags.json", "ramp": "new: 50%, 100%",
}}

// promotes says whether the victim, or what goes before it, takes from staging.
func (v Victim) promotes() bool {
	return v.Action == "promote" || v.Of != nil && v.Of.promotes() || v.Wreck != nil && v.Wreck.Of.promotes()
}

// lane is one service with a history, in namespaces of its own, that is
// brought from one point to the next.
type lane struct {
	client    *cluster.Client
	bin       string
	images    [2]string
	target    string    // the namespace that is changed
	sources   [2]string // where promote finds images[0] and images[1] passed
	workspace string
	gateway   *Gateway // that users come by; nil: they come to the Service
	made      int      // the content of the release wanted last
}

// newLane makes the namespaces and two releases, so that there is one to go
// back to.
func newLane(ctx context.Context, m *Matrix, v Victim) (*lane, error) {
	l := &lane{client: m.Client, bin: m.Bin, images: m.Images}
	if v.Routed {
		l.gateway = &m.Gateway
	}
	var err error
	if l.workspace, err = os.MkdirTemp("", "fibership-lane-"); err != nil {
		return nil, err
	}
	if l.target, err = l.namespace(ctx); err != nil {
		return l, err
	}
	for i := range l.images {
		if v.promotes() {
			if l.sources[i], err = l.namespace(ctx); err != nil {
				return l, err
			}
			if _, err := l.must(ctx, "deploy-staging", map[string]string{"image": l.images[i], "namespace": l.sources[i], "environment": "staging", "manifests": ""}); err != nil {
				return l, err
			}
		}
		if err := l.want(v); err != nil {
			return l, err
		}
		if _, err := l.must(ctx, "deploy-staging", map[string]string{"image": l.images[i]}); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *lane) namespace(ctx context.Context) (string, error) {
	name := "kill-" + strings.ToLower(rand.Text()[:10])
	namespaces := l.client.Kube.CoreV1().Namespaces()
	if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	for {
		if _, err := l.client.Kube.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return name, nil
		}
		if err := pause(ctx); err != nil {
			return name, err
		}
	}
}

// pause is between two looks at what is waited for.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

// remove leaves nothing behind.
func (l *lane) remove(ctx context.Context) error {
	if l == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	errs := []error{os.RemoveAll(l.workspace)}
	for _, name := range []string{l.target, l.sources[0], l.sources[1]} {
		if name != "" {
			errs = append(errs, l.client.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))
		}
	}
	return errors.Join(errs...)
}

// want writes the manifests of one more release, unlike all before.
func (l *lane) want(v Victim) error {
	l.made++
	name := "web"
	if v.Rename {
		name = fmt.Sprintf("web-%d", l.made%2)
	}
	text := manifests(l.made, name)
	if l.gateway != nil {
		text += route(l.gateway.Namespace, l.gateway.Name, l.host())
	}
	var errs []error
	for name, content := range map[string]string{
		"web.yaml":    text,
		"flags.json":  flagFile(l.made),
		"before.yaml": job("before", 0),
		"passes.yaml": job("passes", 0),
		"fails.yaml":  job("fails", 4),
	} {
		errs = append(errs, os.WriteFile(filepath.Join(l.workspace, name), []byte(content), 0o600))
	}
	return errors.Join(errs...)
}

// inputs is what every use of an action here has, and what is particular.
func (l *lane) inputs(action string, particular ...map[string]string) map[string]string {
	all := map[string]string{"service": service, "environment": "production", "namespace": l.target, "timeout": "2m"}
	if action != "rollback" {
		all["manifests"] = "web.yaml"
	}
	for _, inputs := range particular {
		for name, value := range inputs {
			all[name] = value
		}
	}
	return all
}

func (l *lane) step(action string, inputs map[string]string) runner.Step {
	return runner.Step{
		Binary: filepath.Join(l.bin, action), Inputs: l.inputs(action, inputs), Workspace: l.workspace,
		Env: map[string]string{"GITHUB_REPOSITORY": "acme/web", "GITHUB_ACTOR": "kill", "GITHUB_SHA": strings.Repeat("ab", 20), "GITHUB_REF": "refs/heads/main"},
	}
}

// must runs an action that has to succeed.
func (l *lane) must(ctx context.Context, action string, inputs map[string]string) (runner.Outcome, error) {
	return l.exits(ctx, 0, action, inputs)
}

// exits runs an action that has to end with the exit code.
func (l *lane) exits(ctx context.Context, code int, action string, inputs map[string]string) (runner.Outcome, error) {
	o, err := l.step(action, inputs).Run(ctx)
	if err == nil && o.Exit != code {
		err = fmt.Errorf("%s ended with exit code %d, not %d; its log:\n%s", action, o.Exit, code, o.Log)
	}
	return o, err
}

func (l *lane) store() *history.Store {
	return history.Open(l.client, service, "production", l.target)
}

// Gateway is a Gateway that routes of every namespace may name as their parent.
type Gateway struct {
	Namespace, Name string
	URL             string // http://host:port
}

// ParseGateway reads namespace/name@URL, as the test cluster tells it.
func ParseGateway(text string) (Gateway, error) {
	place, url, ok := strings.Cut(text, "@")
	namespace, name, is := strings.Cut(place, "/")
	if !ok || !is {
		return Gateway{}, fmt.Errorf("%q is no gateway: namespace/name@URL", text)
	}
	return Gateway{Namespace: namespace, Name: name, URL: url}, nil
}

// host is the lane's own, at the gateway.
func (l *lane) host() string { return l.target + ".test" }

// load is a small constant load on the service, each request by a connection
// of its own.
func (l *lane) load(ctx context.Context) (*loadgen.Load, error) {
	if l.gateway != nil {
		if err := l.routed(ctx); err != nil {
			return nil, err
		}
		return loadgen.StartAt(l.gateway.URL+"/", l.host(), 20, true), nil
	}
	s, err := l.client.Kube.CoreV1().Services(l.target).Get(ctx, service, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return loadgen.Start(fmt.Sprintf("http://%s:%d/", s.Spec.ClusterIP, s.Spec.Ports[0].Port), 20, true), nil
}

// routed waits until the gateway knows the lane's host.
func (l *lane) routed(ctx context.Context) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.gateway.URL+"/", http.NoBody)
		if err != nil {
			return err
		}
		request.Host = l.host()
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			err = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return err
			}
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
