package gobuild

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/progress"
)

func TestEnviron_letsOnlyThroughWhatIsNamed(t *testing.T) {
	got := Environ([]string{
		"PATH=/bin", "HOME=/root", "GOPRIVATE=example.com", "LC_ALL=C", "CGO_CFLAGS=-O2", "GOFLAGS=-mod=mod",
		"INPUT_REGISTRY-PASSWORD=x", "ACTIONS_RUNTIME_TOKEN=x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=x", "GITHUB_TOKEN=x", "GITHUB_ENV=/x",
		"AWS_SECRET_ACCESS_KEY=x", "GOOGLE_APPLICATION_CREDENTIALS=x", "DOCKER_CONFIG=/x", "KUBECONFIG=/x", "DOCKER_HOST=x", "SSH_AUTH_SOCK=/x",
		"LD_PRELOAD=/x", "DATABASE_URL=x",
	})
	want := []string{"PATH=/bin", "HOME=/root", "GOPRIVATE=example.com", "LC_ALL=C", "CGO_CFLAGS=-O2", "GOFLAGS=-mod=mod", "CGO_ENABLED=0"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := Environ([]string{"CGO_ENABLED=1"}); !slices.Equal(got, []string{"CGO_ENABLED=1"}) {
		t.Errorf("cgo that was asked for: %q", got)
	}
}

func TestTarget_isToldInTheToolchainsVariables(t *testing.T) {
	for target, want := range map[Target]string{
		{"linux", "amd64", ""}:   "[GOOS=linux GOARCH=amd64]",
		{"linux", "amd64", "v3"}: "[GOOS=linux GOARCH=amd64 GOAMD64=v3]",
		{"linux", "arm", "v7"}:   "[GOOS=linux GOARCH=arm GOARM=7]",
		{"linux", "arm64", "v8"}: "[GOOS=linux GOARCH=arm64]",
	} {
		if got := fmt.Sprint(target.environ()); got != want {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
	}
}

func TestBinaryName_followsGoBuild(t *testing.T) {
	for importPath, want := range map[string]string{
		"github.com/acme/orders": "orders", "github.com/acme/orders/v2": "orders", "github.com/acme/x/cmd/v1beta": "v1beta",
		"orders": "orders", "command-line-arguments": "dir",
	} {
		if got := binaryName(importPath, "/some/dir"); got != want {
			t.Errorf("%s: got %q, want %q", importPath, got, want)
		}
	}
}

func lines(notes []progress.Annotation) string {
	var b strings.Builder
	for _, n := range notes {
		fmt.Fprintf(&b, "%s:%d:%d %s\n", n.File, n.Line, n.Column, n.Message)
	}
	return b.String()
}

func TestNotes_findTheLineToBlame(t *testing.T) {
	toolchain := &Toolchain{source: Source{Workspace: "/w", Dir: "/w/svc"}, log: progress.Discard}
	for name, c := range map[string]struct {
		notes func(string) []progress.Annotation
		in    string
		want  string
	}{
		"compiler": {
			toolchain.compilerNotes,
			"# acme/orders\n./main.go:4:2: undefined: x\nsub/a.go:7:3: cannot use y\n\thave int\n\twant string\n",
			"svc/main.go:4:2 undefined: x\nsvc/sub/a.go:7:3 cannot use y\nhave int\nwant string\n",
		},
		"vet, and a file with Windows line ends": {
			toolchain.compilerNotes, "# acme/orders\r\nvet: ./a_test.go:9:1: bad\r\n", "svc/a_test.go:9:1 bad\n",
		},
		"another module's file":   {toolchain.compilerNotes, "../../go/pkg/mod/x@v1/a.go:1:1: no\n", ""},
		"a command of the runner": {toolchain.compilerNotes, "::error file=main.go::x\n", ""},
		"t.Error over several lines": {
			func(s string) []progress.Annotation { return toolchain.testNotes("TestX", "/w/svc/sub", s) },
			"=== RUN   TestX\n    a_test.go:12: got 1\n        want 2\n    b_test.go:3: and more\n--- FAIL: TestX (0.00s)\n",
			"svc/sub/a_test.go:12:0 got 1\nwant 2\nsvc/sub/b_test.go:3:0 and more\n",
		},
		"a panic, at the innermost frame of ours": {
			func(s string) []progress.Annotation { return toolchain.testNotes("TestX", "/w/svc", s) },
			"panic: oh no\n\ngoroutine 1 [running]:\ntesting.x()\n\t/usr/local/go/src/testing/testing.go:1 +0x1\nf()\n\t/w/svc/f.go:5 +0x2\ng()\n\t/w/svc/g.go:6 +0x2\n",
			"svc/f.go:5:0 oh no\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(c.notes(c.in)); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func FuzzResults_takeAnyStream(f *testing.F) {
	f.Add(`{"Action":"output","Package":"p","Test":"T/a","Output":"x\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"T/a"}` + "\nnoise\n" + `{"Action":"fail","Package":"p"}`)
	f.Add(`{"Action":"build-output","ImportPath":"p","Output":"./a.go:1:1: x"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p"}`)
	f.Fuzz(func(t *testing.T, stream string) {
		r := newResults(progress.Discard)
		if err := r.read(strings.NewReader(stream)); err != nil {
			t.Fatal(err)
		}
		tests := r.tests()
		if len(tests.Failures) > tests.Failed {
			t.Errorf("%d failures are told of %d", len(tests.Failures), tests.Failed)
		}
	})
}
