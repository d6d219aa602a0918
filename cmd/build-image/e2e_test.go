package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestMain is also the action: a test starts its own binary as the runner
// starts ours, with inputs in the environment and a file for outputs.
func TestMain(m *testing.M) {
	if os.Getenv("FIBERSHIP_TEST_MAIN") == "true" {
		main()
		return
	}
	os.Exit(m.Run())
}

// outcome is what the runner sees of an action.
type outcome struct {
	code    int
	outputs map[string]string
	summary string
	log     string
}

// checkout is a repository on disk, with a service in it.
type checkout map[string]string

// orders is a small service with a tested package.
func orders() checkout {
	return checkout{
		"go.mod":                  "module github.com/acme/orders\n\ngo 1.24\n",
		"main.go":                 "package main\n\nimport (\n\t\"fmt\"\n\n\t\"github.com/acme/orders/greet\"\n)\n\nfunc main() { fmt.Println(greet.Hello(\"orders\")) }\n",
		"greet/greet.go":          "package greet\n\n// Hello greets.\nfunc Hello(name string) string { return \"hello \" + name }\n\n// Bye is not tested.\nfunc Bye() string { return \"bye\" }\n",
		"greet/greet_test.go":     "package greet\n\nimport \"testing\"\n\nfunc TestHello(t *testing.T) {\n\tif got := Hello(\"x\"); got != \"hello x\" {\n\t\tt.Errorf(\"got %q\", got)\n\t}\n}\n\nfunc TestLater(t *testing.T) { t.Skip(\"later\") }\n",
		"public/index.html":       "<h1>orders</h1>\n",
		"public/gha-creds-1.json": "{\"secret\":true}\n",
		"README.md":               "orders\n",
	}
}

func (c checkout) with(file, content string) checkout {
	c = maps.Clone(c)
	c[file] = content
	return c
}

func (c checkout) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c.writeTo(t, dir)
	return dir
}

func (c checkout) writeTo(t *testing.T, dir string) {
	t.Helper()
	for file, content := range c {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// inputs are an action's, by name.
type inputs map[string]string

func (in inputs) and(more inputs) inputs {
	in = maps.Clone(in)
	maps.Copy(in, more)
	return in
}

// start prepares the action as the runner does for a push to main.
func start(ctx context.Context, t *testing.T, workspace string, in inputs, environ ...string) (*exec.Cmd, func() outcome) {
	t.Helper()
	files := t.TempDir()
	event := filepath.Join(files, "event.json")
	if err := os.WriteFile(event, []byte(`{"repository":{"default_branch":"main"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	outputFile, summaryFile := filepath.Join(files, "outputs"), filepath.Join(files, "summary")
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Dir = workspace
	cmd.Env = []string{
		"FIBERSHIP_TEST_MAIN=true", "CI=true", "GITHUB_ACTIONS=true", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH=" + event,
		"GITHUB_REPOSITORY=acme/orders", "GITHUB_SHA=0123456789abcdef0123456789abcdef01234567", "GITHUB_REF=refs/heads/main",
		"GITHUB_REF_NAME=main", "GITHUB_REF_TYPE=branch", "GITHUB_ACTOR=octocat", "GITHUB_WORKSPACE=" + workspace,
		"GITHUB_OUTPUT=" + outputFile, "GITHUB_STEP_SUMMARY=" + summaryFile, "DOCKER_CONFIG=" + files,
	}
	for _, name := range []string{"PATH", "HOME", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if _, ok := in["unprivileged"]; !ok { // most checkouts and caches of tests are nobody else's to read
		cmd.Env = append(cmd.Env, "INPUT_UNPRIVILEGED=false")
	}
	for name, value := range in {
		cmd.Env = append(cmd.Env, "INPUT_"+strings.ToUpper(name)+"="+value)
	}
	cmd.Env = append(cmd.Env, environ...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	return cmd, func() outcome {
		summary, _ := os.ReadFile(summaryFile)
		return outcome{code: cmd.ProcessState.ExitCode(), outputs: readOutputs(t, outputFile), summary: string(summary), log: output.String()}
	}
}

// act runs the action to its end.
func act(t *testing.T, workspace string, in inputs, environ ...string) outcome {
	t.Helper()
	cmd, result := start(t.Context(), t, workspace, in, environ...)
	_ = cmd.Run() // the exit code is looked at
	got := result()
	if t.Failed() || testing.Verbose() {
		t.Logf("exit %d\n%s", got.code, got.log)
	}
	return got
}

// readOutputs reads GITHUB_OUTPUT as the runner does.
func readOutputs(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i++ {
		name, delimiter, ok := strings.Cut(lines[i], "<<")
		if !ok {
			continue
		}
		var value []string
		for i++; i < len(lines) && lines[i] != delimiter; i++ {
			value = append(value, lines[i])
		}
		found[name] = strings.Join(value, "\n")
	}
	return found
}

// server is a registry that counts what it is asked.
type server struct {
	host string
	mu   sync.Mutex
	seen []string // METHOD /path?query

	handler http.Handler
}

func newServer(t *testing.T, wrap ...func(http.Handler) http.Handler) *server {
	t.Helper()
	s := new(server)
	s.handler = ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	s.wrap(wrap...)
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.RequestURI())
		handler := s.handler
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(listening.Close)
	s.host = strings.TrimPrefix(listening.URL, "http://")
	return s
}

// wrap puts handlers before the registry, the last one outermost.
func (s *server) wrap(with ...func(http.Handler) http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range with {
		s.handler = w(s.handler)
	}
}

// requests gives what was asked since the last call.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func (s *server) image(t *testing.T, reference string) v1.Image {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestBuild_testsCompilesPushesAndTells(t *testing.T) {
	registry := newServer(t)
	workspace := orders().write(t)
	in := inputs{
		"image": registry.host + "/acme/orders", "include": "./public:/app/public", "port": "3000",
		"env": "GREETING=hi", "labels": "team=orders",
	}
	got := act(t, workspace, in)
	if got.code != 0 {
		t.Fatalf("exit %d\n%s", got.code, got.log)
	}
	image := registry.image(t, got.outputs["image"])
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(config.Config.Entrypoint, config.Config.User, config.Config.ExposedPorts, config.OS, config.Architecture); got != "[/app/orders]65532:65532map[3000/tcp:{}]linuxamd64" {
		t.Errorf("config: %s", got)
	}
	for _, tag := range []string{"sha-0123456", "main", "latest"} {
		digest, err := registry.image(t, registry.host+"/acme/orders:"+tag).Digest()
		if err != nil || digest.String() != got.outputs["digest"] {
			t.Errorf("tag %s points at %v, %v", tag, digest, err)
		}
	}
	if want := "sha-0123456\nmain\nlatest"; got.outputs["tags"] != want {
		t.Errorf("tags: %q", got.outputs["tags"])
	}
	var tests struct {
		Passed, Failed, Skipped int
		Seconds                 float64
	}
	if err := json.Unmarshal([]byte(got.outputs["tests"]), &tests); err != nil || tests.Passed != 1 || tests.Skipped != 1 || tests.Failed != 0 {
		t.Errorf("tests: %s %v", got.outputs["tests"], err)
	}
	if got.outputs["changed"] != "true" {
		t.Errorf("changed: %q", got.outputs["changed"])
	}
}

// remove deletes a manifest, as a clean-up policy does.
func (s *server) remove(t *testing.T, repository, reference string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+s.host+"/v2/"+repository+"/manifests/"+reference, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("delete %s: %s", reference, response.Status)
	}
}

func (s *server) index(t *testing.T, reference string) v1.ImageIndex {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	return index
}
