package main

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action/actiontest"
)

func TestInputs_toIsReadBeforeAClusterIsAsked(t *testing.T) {
	const nowhere = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: \"http://127.0.0.1:1\"}}]\n"
	for _, to := range []string{"yesterday", "0", "abc123", "sha256:abc", "Previous"} {
		got := actiontest.Exec(t, spec, run, map[string]string{"service": "orders", "kubeconfig": nowhere, "to": to})
		if got.Exit != 2 || got.Outputs["status"] != "refused" || !strings.Contains(got.Log, `input "to" is "`+to+`": expected previous, a release number`) || !strings.Contains(got.Log, "; for example: 12") {
			t.Errorf("%s: exit %d\n%s", to, got.Exit, got.Log)
		}
	}
	for _, to := range []string{"previous", "live", "12", "abc1234", "sha256:" + strings.Repeat("0", 64), "a/b@sha256:" + strings.Repeat("0", 64)} {
		if _, err := parseTo(to); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestOutputs_areThereWithoutACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, list := range []string{"true", "false"} {
		got := actiontest.Exec(t, spec, run, map[string]string{"service": "orders", "kubeconfig": "nothing", "list": list})
		if got.Exit != 2 || got.Outputs["status"] != "refused" || got.Outputs["history"] != "[]" ||
			!strings.Contains(got.Outputs["record"], `"service":"orders","environment":"production","namespace":"production"`) {
			t.Errorf("exit %d, outputs %v", got.Exit, got.Outputs)
		}
	}
}
