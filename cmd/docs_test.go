// Package cmd_test keeps what people read of the actions' inputs equal to what
// the programs declare: actions/*/action.yml, the root action.yml and the
// README's tables.
package cmd_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/action"
)

var update = flag.Bool("update", false, "write action.yml files and README tables")

// names are the actions in the order in which they follow each other.
var names = []string{"build-image", "deploy-staging", "promote", "rollback"}

const (
	root    = ".." // of the repository
	command = "go test ./cmd -run TestDocs -update"
)

// specs are the declarations, told by the programs themselves.
func specs(t *testing.T) []action.Spec {
	t.Helper()
	// A folder that stays: go build links nothing that is there and up to date.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(cache, "fibership", "docs") + string(filepath.Separator)
	build := []string{"build", "-ldflags=-s -w", "-o", bin}
	for _, name := range names {
		build = append(build, "./"+name)
	}
	compile := exec.CommandContext(t.Context(), "go", build...)
	compile.Env = append(os.Environ(), "CGO_ENABLED=0") // as they are shipped
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(build, " "), err, out)
	}
	var all []action.Spec
	for _, name := range names {
		out, err := exec.CommandContext(t.Context(), bin+name, "--describe").Output()
		if err != nil {
			t.Fatalf("%s --describe: %v", name, err)
		}
		var s action.Spec
		if err := json.Unmarshal(out, &s); err != nil {
			t.Fatalf("%s --describe: %v", name, err)
		}
		if s.Name != name {
			t.Fatalf("cmd/%s declares itself as %q", name, s.Name)
		}
		all = append(all, s)
	}
	return all
}

func TestDocs_areWhatTheProgramsDeclare(t *testing.T) {
	all := specs(t)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(readme)
	for _, s := range all {
		compare(t, filepath.Join("actions", s.Name, "action.yml"), actionYAML(s))
		text = section(t, text, "inputs "+s.Name, inputTable(s))
		text = section(t, text, "outputs "+s.Name, outputTable(s))
	}
	compare(t, "README.md", text)
	compare(t, "action.yml", rootYAML(all))
}

func TestInputs_haveAnExampleForWhoGotThemWrong(t *testing.T) {
	t.Parallel()
	for _, s := range specs(t) {
		for _, input := range s.Inputs {
			if input.Example == "" && input.Default == "" && input.Expression == "" {
				t.Errorf("%s: input %s", s.Name, input.Name)
			}
		}
	}
}

// compare holds a rendered file against the one that is there, or writes it.
func compare(t *testing.T, path, want string) {
	t.Helper()
	if strings.HasSuffix(path, ".yml") {
		var parsed any
		if err := yaml.UnmarshalStrict([]byte(want), &parsed); err != nil {
			t.Fatalf("%s would be no YAML: %v", path, err)
		}
	}
	file := filepath.Join(root, path)
	got, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if string(got) == want {
		return
	}
	if !*update {
		t.Errorf("%s is not what the programs declare; write it with\n\t%s\n%s", path, command, cmp.Diff(string(got), want))
		return
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// section replaces what stands between a pair of markers.
func section(t *testing.T, text, marker, body string) string {
	t.Helper()
	word, _, _ := strings.Cut(marker, " ")
	between := regexp.MustCompile(`(?s)<!-- ` + marker + ` -->\n.*?<!-- /` + word + ` -->`)
	if n := len(between.FindAllString(text, -1)); n != 1 {
		t.Fatalf("README.md has the markers <!-- %s --> … <!-- /%s --> %d times, want once", marker, word, n)
	}
	return between.ReplaceAllLiteralString(text, "<!-- "+marker+" -->\n"+body+"<!-- /"+word+" -->")
}

// A program that links reflection by method names, as templates do, keeps every
// exported method of every type: with client-go, 18 MB of them.
func TestPrograms_staySmall(t *testing.T) {
	t.Parallel()
	specs(t) // compiles them
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	const most = 42 << 20
	for _, name := range names {
		info, err := os.Stat(filepath.Join(cache, "fibership", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			t.Errorf("%s has %d MB, more than %d: does a new dependency call methods by name?", name, info.Size()>>20, most>>20)
		}
	}
}
