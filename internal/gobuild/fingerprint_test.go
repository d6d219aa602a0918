package gobuild

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fibership/fibership/internal/progress"
)

// repository writes files into a folder of their own.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
	}
	return dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A module of the workspace that the program uses nothing of asks for another
// version of a dependency, and that is the version which is compiled.
func TestFingerprint_countsWhoeverHasASayInVersions(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		dir    string
		counts map[string]string
		not    string
	}{
		"a workspace": {
			map[string]string{
				"go.work": "go 1.24\n\nuse (\n\t./svc\n\t./other\n)\n\nreplace example.com/lib => ./lib\n", "svc/main.go": "package main\n\nfunc main() {}\n",
				"svc/go.mod": "module example.com/svc\n\ngo 1.24\n", "other/go.mod": "module example.com/other\n\ngo 1.24\n",
				"lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "apart/go.mod": "module example.com/apart\n",
			},
			"svc",
			map[string]string{
				"other/go.mod": "module example.com/other\n\ngo 1.24\n\nrequire example.com/dep v1.1.0\n", "other/go.sum": "example.com/dep v1.1.0 h1:x\n",
				"lib/go.mod": "module example.com/lib\n\ngo 1.24\n\nrequire example.com/dep v1.1.0\n", "go.work.sum": "example.com/dep v1.1.0 h1:x\n",
			},
			"apart/go.mod",
		},
		"modules that replace others in turn": {
			map[string]string{
				"svc/main.go": "package main\n\nfunc main() {}\n",
				"svc/go.mod":  "module example.com/svc\n\ngo 1.24\n\nreplace example.com/lib => ../lib\n",
				"lib/go.mod":  "module example.com/lib\n\ngo 1.24\n", "apart/go.mod": "module example.com/apart\n",
			},
			"svc",
			map[string]string{"lib/go.mod": "module example.com/lib\n\ngo 1.24\n\nrequire example.com/dep v1.1.0\n"},
			"apart/go.mod",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sum := func(file, content string) string {
				t.Helper()
				dir := repository(t, c.files)
				if file != "" {
					write(t, filepath.Join(dir, filepath.FromSlash(file)), content)
				}
				source := Source{Workspace: dir, Dir: filepath.Join(dir, c.dir), Package: "."}
				f, err := New(source, append(os.Environ(), "CGO_ENABLED=0"), progress.Discard).Fingerprint(t.Context(), []Target{{"linux", "amd64", ""}})
				if err != nil {
					t.Fatal(err)
				}
				return f.Sum
			}
			before := sum("", "")
			if sum("", "") != before {
				t.Error("another folder has another fingerprint")
			}
			for file, content := range c.counts {
				if sum(file, content) == before {
					t.Errorf("%s does not count", file)
				}
			}
			if sum(c.not, "module example.com/apart\n\ngo 1.24\n") != before {
				t.Errorf("%s counts", c.not)
			}
		})
	}
}
