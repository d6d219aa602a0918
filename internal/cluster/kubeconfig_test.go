package cluster

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secret = "s3cr3t-t0ken"

const kubeconfig = `apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: d, user: u}}
clusters:
- {name: c, cluster: {server: "https://one.example:6443"}}
- {name: d, cluster: {server: "https://two.example/k8s/clusters/d"}}
users:
- {name: u, user: {token: ` + secret + `}}
`

func TestConnect_findsTheCluster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(kubeconfig))
	for _, test := range []struct{ name, given, env, context, source, server string }{
		{"content", kubeconfig, "/nowhere", "", "input kubeconfig", "one.example:6443"},
		{"content in base64", encoded, "", "", "input kubeconfig", "one.example:6443"},
		{"content in wrapped base64", encoded[:60] + "\n" + encoded[60:] + "\n", "", "", "input kubeconfig", "one.example:6443"},
		{"path", file, "", "", "input kubeconfig", "one.example:6443"},
		{"another context", kubeconfig, "", "two", "input kubeconfig", "two.example"},
		{"KUBECONFIG", "", file, "", "KUBECONFIG", "one.example:6443"},
		{"KUBECONFIG of several files", "", "/nowhere:" + file, "two", "KUBECONFIG", "two.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			c, err := Connect(Options{Kubeconfig: test.given, Context: test.context})
			if err != nil {
				t.Fatal(err)
			}
			if c.Source != test.source || c.Server != test.server {
				t.Errorf("source %q, server %q", c.Source, c.Server)
			}
			if c.REST.QPS >= 0 {
				t.Error("the client slows itself down")
			}
		})
	}
}

func TestConnect_saysWhatIsWrongWithoutTheSecret(t *testing.T) {
	for _, test := range []struct{ name, given, env, context, want string }{
		{"nothing at all", "", "", "", "no cluster to talk to: the input kubeconfig is empty"},
		{"neither content nor path", secret, "", "", "neither the content of a kubeconfig nor the path"},
		{"no YAML", "users:\n\t- " + secret, "", "", "not a kubeconfig: line 2"},
		{"another kind", "apiVersion: v1\nkind: Pod\nx: " + secret, "", "", "not a kubeconfig"},
		{"a token where a list belongs", "apiVersion: v1\nkind: Config\nusers: " + secret + "\n", "", "", "not a kubeconfig"},
		{"no such context", kubeconfig, "", "three", `no such context as "three"; it has one, two`},
		{"no current context", strings.Replace(kubeconfig, "current-context: one", "", 1), "", "", "give the input context: one of one, two"},
		{
			"a relative certificate", strings.Replace(kubeconfig, "{server: \"https://one.example:6443\"}", "{server: \"https://one.example:6443\", certificate-authority: ca.crt}", 1), "", "",
			`certificate-authority of cluster "c" is a relative path`,
		},
		{"a certificate that is not there", strings.Replace(kubeconfig, "{server: \"https://one.example:6443\"}", "{server: \"https://one.example:6443\", certificate-authority: /no/ca.crt}", 1), "", "", "input kubeconfig"},
		{"a malformed certificate", strings.Replace(kubeconfig, "{server: \"https://one.example:6443\"}", "{server: \"https://one.example:6443\", certificate-authority-data: czNjcjN0}", 1), "", "", "input kubeconfig"},
		{
			"a plugin that is not here", strings.Replace(kubeconfig, "{token: "+secret+"}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /opt/no-such-login, interactiveMode: Never}}", 1), "", "",
			`logs in with the program "no-such-login", which is not installed here; give the input kubeconfig`,
		},
		{"an auth provider", strings.Replace(kubeconfig, "{token: "+secret+"}", "{auth-provider: {name: gcp, config: {access-token: "+secret+"}}}", 1), "", "", `auth provider "gcp"`},
		{"KUBECONFIG that is not there", "", "/no/such/file", "", "give the input kubeconfig instead"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			t.Setenv("KUBERNETES_SERVICE_HOST", "")
			_, err := Connect(Options{Kubeconfig: test.given, Context: test.context})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error shows a secret: %s", err)
			}
		})
	}
}

func TestConnect_namesTheInputThatIsMeant(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, c := range []struct {
		given, context, want string
		wrongContext         bool
	}{
		{"", "", "the input from-kubeconfig is empty", false},
		{secret, "", "input from-kubeconfig: it is neither", false},
		{kubeconfig, "three", "input from-kubeconfig: no such context", true},
		{strings.Replace(kubeconfig, "current-context: one", "current-context: ten", 1), "", "its current context \"ten\" is not there", false},
		{strings.Replace(kubeconfig, "current-context: one", "", 1), "", "give the input from-context", false},
	} {
		_, err := Connect(Options{Kubeconfig: c.given, Context: c.context, Input: "from-kubeconfig"})
		wrong, is := errors.AsType[*ConfigError](err)
		if !is || wrong.Context != c.wrongContext || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v (%+v), want %q", err, wrong, c.want)
		}
	}
}
