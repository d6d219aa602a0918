package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/action/actiontest"
)

// composite is what the tests read of the root action.yml.
type composite struct {
	Inputs  map[string]any `json:"inputs"`
	Outputs map[string]any `json:"outputs"`
	Runs    struct {
		Steps []struct {
			ID   string            `json:"id"`
			Run  string            `json:"run"`
			Uses string            `json:"uses"`
			With map[string]string `json:"with"`
		} `json:"steps"`
	} `json:"runs"`
}

func readComposite(t *testing.T) composite {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composite
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// script runs a step's script as the runner does and gives what it leaves.
func script(t *testing.T, id string, env ...string) (outputs map[string]string, log string, err error) {
	t.Helper()
	for _, step := range readComposite(t).Runs.Steps {
		if step.ID != id {
			continue
		}
		path := filepath.Join(t.TempDir(), "output")
		bash := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.Run)
		bash.Dir = t.TempDir()
		// A word that is taken for a pattern finds this file.
		if err := os.WriteFile(filepath.Join(bash.Dir, "promote"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		bash.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GITHUB_OUTPUT=" + path}, env...)
		out, err := bash.CombinedOutput()
		return actiontest.ReadOutputs(t, path), string(out), err
	}
	t.Fatalf("action.yml has no step %q", id)
	return nil, "", nil
}

func TestRoot_readsStages(t *testing.T) {
	for run, want := range map[string]map[string]string{
		"build-image":                        {"stages": " build-image "},
		"build-image deploy-staging promote": {"stages": " build-image deploy-staging promote ", "deploys": "true", "onward": "true"},
		" deploy-staging,\n promote\t":       {"stages": " deploy-staging promote ", "deploys": "true", "onward": "true"},
		"build-image deploy-staging":         {"stages": " build-image deploy-staging ", "deploys": "true"},
		"rollback":                           {"stages": " rollback ", "deploys": "true"},
	} {
		got, log, err := script(t, "stages", "RUN="+run)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("run %q: %v %s\n%s", run, err, log, diff)
		}
	}
}

func TestRoot_refusesOtherWords(t *testing.T) {
	for _, run := range []string{"", " \n", "deploy", "build-image *", "promote\n::error::forged", "$(touch x)", "build-image;rollback", "rollback]"} {
		got, log, err := script(t, "stages", "RUN="+run)
		if err == nil || len(got) != 0 || strings.Count(log, "\n") != 1 || !strings.HasPrefix(log, "::error title=Wrong input%3A run::") {
			t.Errorf("run %q: %v, outputs %v, log %q", run, err, got, log)
		}
	}
}

func TestRoot_takesOutputsFromTheLastStageThatRan(t *testing.T) {
	for want, env := range map[string][]string{
		"promote":     {"BUILD_IMAGE=success", "DEPLOY_STAGING=success", "PROMOTE=failure", "ROLLBACK=skipped"},
		"build-image": {"BUILD_IMAGE=failure", "DEPLOY_STAGING=skipped", "PROMOTE=skipped", "ROLLBACK=skipped"},
		"":            {"BUILD_IMAGE=skipped", "DEPLOY_STAGING=", "PROMOTE=skipped", "ROLLBACK=skipped"},
	} {
		got, log, err := script(t, "last", env...)
		if err != nil || got["stage"] != want {
			t.Errorf("%v: %v %s, last stage %q, want %q", env, err, log, got["stage"], want)
		}
	}
}

func TestRoot_handsOnlyInputsThatItHas(t *testing.T) {
	c := readComposite(t)
	stages := map[string]bool{}
	for _, step := range c.Runs.Steps {
		if step.Uses == "" {
			continue
		}
		stages[step.ID] = true
		for input, value := range step.With {
			_, rest, _ := strings.Cut(value, "inputs.")
			for rest != "" {
				name := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(" )}", r) })[0]
				if _, ok := c.Inputs[name]; !ok {
					t.Errorf("%s is handed %s from the input %q, which is not there", step.ID, input, name)
				}
				_, rest, _ = strings.Cut(rest, "inputs.")
			}
		}
	}
	for key := range handed {
		stage, input, _ := strings.Cut(key, " ")
		found := false
		for _, step := range c.Runs.Steps {
			_, declared := step.With[input]
			found = found || step.ID == stage && declared
		}
		if !found {
			t.Errorf("%s has no input %q to hand anything to", stage, input)
		}
	}
	if len(stages) != len(names) {
		t.Errorf("stages %v, want %v", stages, names)
	}
}
