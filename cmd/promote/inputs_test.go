package main

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action/actiontest"
)

func TestInputs_areCheckedBesideEachOtherBeforeAnythingIsAsked(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	alone := map[string]string{"service": "orders"}
	for name, c := range map[string]struct{ inputs, say map[string]string }{
		"all at once": {
			map[string]string{
				"route": "web", "ramp": "new: 5%", "metrics": "prometheus", "analysis": "error-rate < 1%", "host": "a.example", "manifests": "",
				"kubeconfig": "nothing", "from-kubeconfig": "nothing", "before": "none.yaml",
			},
			map[string]string{
				"route": "expected traffic: gateway", "ramp": "expected the flag file", "prometheus-url": "expected where Prometheus is", "gateway": "expected the Gateway",
				"kubeconfig": "it is neither", "from-kubeconfig": "it is neither", "before": "no such file",
			},
		},
		"two ramps of one flag": {
			map[string]string{"ramp": "new: 5%\nnew: 25%"}, map[string]string{"ramp": "expected each flag once"},
		},
		"beside what cannot be read": {
			map[string]string{"dry-run": "maybe", "kubeconfig": "nothing", "before": "none.yaml", "steps": "10% 50%"},
			map[string]string{"dry-run": "expected true or false", "kubeconfig": "it is neither", "before": "no such file", "steps": "is no weight"},
		},
		"services together": {
			map[string]string{"service": "", "services": "orders\ncart", "manifests": "deploy", "kubeconfig": "nothing"},
			map[string]string{"manifests": "deploy/orders: no such file", "kubeconfig": "it is neither"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := map[string]string{}
			for _, from := range []map[string]string{alone, c.inputs} {
				for name, value := range from {
					inputs[name] = value
				}
			}
			got := actiontest.Exec(t, spec, run, inputs, "GITHUB_WORKSPACE="+t.TempDir())
			if got.Exit != 2 || got.Outputs["status"] != "refused" {
				t.Errorf("exit %d, outputs %v", got.Exit, got.Outputs)
			}
			for input, say := range c.say {
				told := 0
				for line := range strings.Lines(got.Log) {
					if strings.HasPrefix(line, "::error title=Wrong input%3A "+input+"::") && strings.Contains(line, say) && strings.Contains(line, "; for example: ") {
						told++
					}
				}
				if told != 1 {
					t.Errorf("input %s is told %d times:\n%s", input, told, got.Log)
				}
			}
		})
	}
}
