package target

import (
	"context"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/action/actiontest"
)

const two = `apiVersion: v1
kind: Config
current-context: production
contexts:
- {name: production, context: {cluster: p, user: u}}
- {name: staging, context: {cluster: s, user: u}}
clusters:
- {name: p, cluster: {server: "https://production.example"}}
- {name: s, cluster: {server: "https://staging.example"}}
users: [{name: u, user: {token: hunter2token}}]
`

func TestOther_takesWhatItsOwnInputsLeaveOut(t *testing.T) {
	other := strings.ReplaceAll(strings.ReplaceAll(two, ".example", ".other"), "current-context: production", "current-context: staging")
	for name, c := range map[string]struct {
		inputs             map[string]string
		fromConfig, fromIn string
		env                string // KUBECONFIG
		server, say        string
	}{
		"nothing is its own":                   {inputs: map[string]string{"kubeconfig": two}},
		"a context of the one kubeconfig":      {inputs: map[string]string{"kubeconfig": two}, fromIn: "staging", server: "staging.example"},
		"its own kubeconfig":                   {inputs: map[string]string{"kubeconfig": two}, fromConfig: other, server: "staging.other"},
		"both":                                 {inputs: map[string]string{"kubeconfig": two}, fromConfig: other, fromIn: "production", server: "production.other"},
		"the other one's context is its own":   {inputs: map[string]string{"kubeconfig": two, "context": "production"}, fromConfig: other, server: "staging.other"},
		"a context that is not there":          {inputs: map[string]string{"kubeconfig": two}, fromIn: "moon", say: `title=Wrong input%3A from-context::input "from-context" is "moon": input kubeconfig: no such context`},
		"a kubeconfig that is none":            {inputs: map[string]string{"kubeconfig": two}, fromConfig: "hunter2token", say: `title=Wrong input%3A from-kubeconfig::input "from-kubeconfig" (a secret, not shown): it is neither`},
		"the one kubeconfig that is none":      {inputs: map[string]string{"kubeconfig": "hunter2token"}, fromIn: "staging", say: `title=Wrong input%3A kubeconfig::`},
		"no kubeconfig for its context":        {fromIn: "staging", say: `title=Wrong input%3A kubeconfig::`},
		"a kubeconfig without a server for it": {inputs: map[string]string{"kubeconfig": two}, fromConfig: strings.Replace(two, "https://production.example", "::", 1), say: `title=Wrong input%3A from-kubeconfig::`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", c.env)
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			s := action.New("sample", action.Deploy, "finds two clusters")
			in := Declare(s, "production")
			kubeconfig, fromContext := s.Secret("from-kubeconfig", "another"), s.Text("from-context", "another")
			server := ""
			inputs := map[string]string{"from-kubeconfig": c.fromConfig, "from-context": c.fromIn}
			for name, value := range c.inputs {
				inputs[name] = value
			}
			got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
				client, err := in.Other(r, "from-", *kubeconfig, *fromContext)
				if client != nil {
					server = client.Server
				}
				return err
			}, inputs)
			if server != c.server || (got.Exit == 0) != (c.say == "") || !strings.Contains(got.Log, c.say) {
				t.Errorf("exit %d, server %q\n%s", got.Exit, server, got.Log)
			}
		})
	}
}

func TestReference_givesADigestWithoutItsTag(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("a", 64)
	for given, want := range map[string]string{
		"ghcr.io/acme/orders:v1" + digest:   "ghcr.io/acme/orders" + digest,
		"ghcr.io/acme/orders" + digest:      "ghcr.io/acme/orders" + digest,
		"127.0.0.1:5000/orders:v1" + digest: "127.0.0.1:5000/orders" + digest,
		"127.0.0.1:5000/orders" + digest:    "127.0.0.1:5000/orders" + digest,
		"orders:latest" + digest:            "orders" + digest,
		"localhost:5000/a/b:c" + digest:     "localhost:5000/a/b" + digest,
		"ghcr.io/acme/orders:v1":            "ghcr.io/acme/orders:v1",
	} {
		got, err := Reference(given)
		if err != nil || got.String() != want {
			t.Errorf("%s: %v, error %v; want %s", given, got, err, want)
		}
	}
	for _, given := range []string{"ghcr.io/acme/orders", "ghcr.io/acme/orders@sha256:a", "A/b:c"} {
		if _, err := Reference(given); err == nil {
			t.Errorf("%s was taken", given)
		}
	}
}
