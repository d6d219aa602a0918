package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action"
)

func TestBuild_takesEveryKindOfRepository(t *testing.T) {
	lib := "package lib\n\n// Name is the library's.\nfunc Name() string { return \"lib\" }\n"
	uses := "package main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Name()) }\n"
	for name, c := range map[string]struct {
		code   checkout
		in     inputs
		change string // a file that counts, so that another build must follow
	}{
		"a package below the module's folder": {
			orders().with("cmd/tool/main.go", "package main\n\nimport \"github.com/acme/orders/greet\"\n\nfunc main() { println(greet.Bye()) }\n"),
			inputs{"package": "./cmd/tool"},
			"cmd/tool/main.go",
		},
		"a module below the repository's folder": {
			checkout{"svc/go.mod": "module svc\n\ngo 1.24\n", "svc/main.go": "package main\n\nfunc main() {}\n"},
			inputs{"working-directory": "svc"},
			"svc/main.go",
		},
		"a workspace": {
			checkout{
				"go.work": "go 1.24\n\nuse (\n\t./svc\n\t./lib\n)\n", "lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "lib/lib.go": lib,
				"svc/go.mod": "module svc\n\ngo 1.24\n", "svc/main.go": uses,
			},
			inputs{"package": "./svc", "tests": "none"},
			"lib/lib.go",
		},
		"a replaced module": {
			checkout{
				"lib/go.mod": "module example.com/lib\n\ngo 1.24\n", "lib/lib.go": lib, "svc/main.go": uses,
				"svc/go.mod": "module svc\n\ngo 1.24\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n",
			},
			inputs{"working-directory": "svc"},
			"lib/lib.go",
		},
		"vendored modules": {
			checkout{
				"go.mod": "module svc\n\ngo 1.24\n\nrequire example.com/lib v1.0.0\n", "main.go": uses, "vendor/example.com/lib/lib.go": lib,
				"vendor/modules.txt": "# example.com/lib v1.0.0\n## explicit; go 1.24\nexample.com/lib\n",
			},
			inputs{},
			"vendor/example.com/lib/lib.go",
		},
		"embedded files": {
			checkout{
				"go.mod": "module svc\n\ngo 1.24\n", "page/index.html": "<p>",
				"main.go": "package main\n\nimport _ \"embed\"\n\n//go:embed page/index.html\nvar page string\n\nfunc main() { println(page) }\n",
			},
			inputs{},
			"page/index.html",
		},
		"Windows line ends": {
			checkout{"go.mod": "module svc\r\n\r\ngo 1.24\r\n", "main.go": "package main\r\n\r\nfunc main() {\r\n}\r\n"}, inputs{}, "main.go",
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := newServer(t)
			in := c.in.and(inputs{"image": registry.host + "/acme/svc", "tags": "latest"})
			first := act(t, c.code.write(t), in, "GOPROXY=off")
			first.built(t, true)
			act(t, c.code.write(t), in, "GOPROXY=off").built(t, false)
			content := strings.Replace(c.code[c.change], `"lib"`, `"changed"`, 1)
			if content == c.code[c.change] {
				content += "\nvar _ = 1\n"
			}
			act(t, c.code.with(c.change, content).write(t), in, "GOPROXY=off").built(t, true)
		})
	}
}

func TestBuild_saysWhatARepositoryLacks(t *testing.T) {
	generated := "; what go generate makes must be committed, or made by a step before this one"
	for name, c := range map[string]struct {
		code checkout
		says []string
	}{
		"a newer toolchain": {
			orders().with("go.mod", "module github.com/acme/orders\n\ngo 1.24\n\ntoolchain go1.99.0\n"), nil, // a suggestion, which local overrules
		},
		"a newer language": {
			orders().with("go.mod", "module github.com/acme/orders\n\ngo 1.99\n"),
			[]string{"Next: the module asks for a newer Go: set GOTOOLCHAIN=auto"},
		},
		"generated code that is committed": {
			orders().with("main.go", "package main\n\n//go:generate false\nfunc main() { println(generated) }\n").with("zz_generated.go", "package main\n\nconst generated = 1\n"), nil,
		},
		"a generated package that is not": {
			orders().with("main.go", "package main\n\nimport \"github.com/acme/orders/gen\"\n\nfunc main() { println(gen.One) }\n"),
			[]string{"file=main.go,line=3,", generated},
		},
		"generated files that are not": {
			orders().with("main.go", "package main\n\nimport \"embed\"\n\n//go:embed dist/*\nvar files embed.FS\n\nfunc main() { println(files.ReadFile) }\n"),
			[]string{"file=main.go,line=5,", generated},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := inputs{"image": "127.0.0.1:1/acme/orders", "push": "false", "tests": "none"}
			code := 0
			if len(c.says) > 0 {
				code = 1
			}
			act(t, c.code.write(t), in, "GOPROXY=off", "GOTOOLCHAIN=local").wants(t, code, c.says...)
		})
	}
}

func TestOrigin_followsTheEvent(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		event action.Event
		want  string
	}{
		"schedule":          {action.Event{Name: "schedule", RefType: "branch", RefName: "main", DefaultBranch: "main", SHA: commit}, "sha-0123456 main latest"},
		"dispatch":          {action.Event{Name: "workflow_dispatch", RefType: "branch", RefName: "fix/x", DefaultBranch: "main", SHA: commit}, "sha-0123456 fix-x"},
		"dispatch of a tag": {action.Event{Name: "workflow_dispatch", RefType: "tag", RefName: "v1.2.3", DefaultBranch: "main", SHA: commit}, "sha-0123456 1.2.3 1.2 1"},
		"pull request":      {action.Event{Name: "pull_request", RefType: "branch", RefName: "7/merge", PullRequest: 7, DefaultBranch: "main", SHA: commit}, "sha-0123456 pr-7"},
	} {
		if got := strings.Join(origin(c.event).Tags(), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestBuild_refusesAProgramThatWouldNotStart(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("there is no C compiler")
	}
	workspace := orders().with("main.go", "package main\n\n// int one(void) { return 1; }\nimport \"C\"\n\nfunc main() { println(C.one()) }\n").write(t)
	in := inputs{"image": "127.0.0.1:1/acme/orders", "push": "false", "tests": "none"}
	act(t, workspace, in, "CGO_ENABLED=1").wants(t, 1, "it needs /lib", "Next: set CGO_ENABLED=0, or give a base-image with a C library")

	// The toolchain without a C compiler.
	bin := t.TempDir()
	program, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "go")); err != nil {
		t.Fatal(err)
	}
	act(t, workspace, in, "CGO_ENABLED=1", "CC=gcc", "PATH="+bin).wants(t, 1, "Next: the action's image has no C compiler")
}
