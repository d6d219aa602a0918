package cmd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// unpiped are the inputs that the pipeline leaves to who writes the steps
// himself, or that are the pipeline's own business: its jobs have `environment:`,
// which records deployments.
var unpiped = map[string][]string{
	"build-image": {
		"github-token", "push", "oci-layout", "retry-timeout", "tests-cache", "unprivileged", "env", "user",
		"create-repository", // wants Amazon's credentials in the job's environment
	},
	"deploy-staging": {"github-token", "github-deployment", "environment", "context", "dry-run", "on-failure", "tool-image"},
	"promote":        {"github-token", "github-deployment", "environment", "context", "from-context", "dry-run", "services"},
	"rollback":       {"github-token", "github-deployment", "context", "dry-run", "list"},
}

func TestPipeline_passesOnWhatTheActionsTake(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, ".github", "workflows", "pipeline.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var pipeline struct {
		Jobs map[string]struct {
			Steps []struct {
				Uses string
				With map[string]any
			}
		}
	}
	if err := yaml.Unmarshal(raw, &pipeline); err != nil {
		t.Fatal(err)
	}
	with := map[string]map[string]any{}
	for _, job := range pipeline.Jobs {
		for _, step := range job.Steps {
			if action, ok := strings.CutPrefix(step.Uses, "fibership/fibership/actions/"); ok {
				name, _, _ := strings.Cut(action, "@")
				with[name] = step.With
			}
		}
	}
	for _, spec := range specs(t) {
		known := map[string]bool{}
		for _, input := range spec.Inputs {
			known[input.Name] = true
			_, passed := with[spec.Name][input.Name]
			if passed == slices.Contains(unpiped[spec.Name], input.Name) {
				t.Errorf("%s: input %s is passed on: %v", spec.Name, input.Name, passed)
			}
		}
		for input := range with[spec.Name] {
			if !known[input] {
				t.Errorf("%s has no input %s", spec.Name, input)
			}
		}
	}
}
