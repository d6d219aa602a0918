package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const compiled = "compiled for linux/"

// within fails the test where the registry was asked more often than that.
func (s *server) within(t *testing.T, most int) {
	t.Helper()
	if seen := s.requests(); len(seen) > most {
		t.Errorf("%d requests, at most %d are allowed:\n%s", len(seen), most, strings.Join(seen, "\n"))
	}
}

func (o outcome) built(t *testing.T, want bool) {
	t.Helper()
	if o.code != 0 {
		t.Errorf("exit %d", o.code)
	}
	if got := strings.Contains(o.log, compiled); got != want {
		t.Errorf("compiled: %v, want %v", got, want)
	}
	if t.Failed() {
		t.Fatal(o.log)
	}
}

func TestBuild_doesNothingWhereNothingChanged(t *testing.T) {
	registry := newServer(t)
	in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "include": "public:/app/public"}
	first := act(t, orders().write(t), in)
	first.built(t, true)
	registry.requests()

	second := act(t, orders().write(t), in)
	second.built(t, false)
	registry.within(t, 4)
	if strings.Contains(second.log, "ok  \tgithub.com/acme") {
		t.Error("tests were run again")
	}
	for name, want := range first.outputs {
		if name == "changed" {
			want = "false"
		}
		if second.outputs[name] != want {
			t.Errorf("output %s: %q, was %q", name, second.outputs[name], want)
		}
	}

	t.Run("a README is no input", func(t *testing.T) {
		got := act(t, orders().with("README.md", "changed\n").write(t), in)
		got.built(t, false)
		if !strings.Contains(got.log, "ok  \tgithub.com/acme") {
			t.Error("a test may read the README, and was not run")
		}
	})
	t.Run("tests-cache false runs tests all the same", func(t *testing.T) {
		got := act(t, orders().write(t), in.and(inputs{"tests-cache": "false"}))
		got.built(t, false)
		if !strings.Contains(got.log, "ok  \tgithub.com/acme") {
			t.Error("tests were not run")
		}
	})
	t.Run("every input counts", func(t *testing.T) {
		changed := orders().with("greet/greet.go", orders()["greet/greet.go"]+"\n// More is more.\nconst More = 1\n")
		for name, c := range map[string]struct {
			in   inputs
			code checkout
		}{
			"source":   {inputs{}, changed},
			"included": {inputs{}, orders().with("public/index.html", "<h1>new</h1>")},
			"go.mod":   {inputs{}, orders().with("go.mod", "module github.com/acme/orders\n\ngo 1.25\n")},
			"label":    {inputs{"labels": "a=b"}, orders()},
			"port":     {inputs{"port": "1"}, orders()},
			"ldflags":  {inputs{"ldflags": "-X main.x=y"}, orders()},
			"platform": {inputs{"platforms": "linux/arm64"}, orders()},
			"tag":      {inputs{"build-tags": "special"}, orders()},
		} {
			t.Run(name, func(t *testing.T) {
				act(t, c.code.write(t), in.and(inputs{"tests": "none"}).and(c.in)).built(t, true)
			})
		}
	})
}

func TestBuild_setsTagsRightAfterARevert(t *testing.T) {
	registry := newServer(t)
	in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "tests": "none"}
	old := act(t, orders().write(t), in)
	changed := act(t, orders().with("main.go", "package main\n\nfunc main() {}\n").write(t), in)
	if old.outputs["digest"] == changed.outputs["digest"] {
		t.Fatal("another program has the same digest")
	}
	reverted := act(t, orders().write(t), in)
	reverted.built(t, false)
	if reverted.outputs["changed"] != "false" || reverted.outputs["digest"] != old.outputs["digest"] {
		t.Errorf("outputs: %v", reverted.outputs)
	}
	digest, err := registry.image(t, registry.host+"/acme/orders:latest").Digest()
	if err != nil || digest.String() != old.outputs["digest"] {
		t.Errorf("latest points at %v, %v", digest, err)
	}
}

func TestBuild_buildsAgainWhatTheRegistryLost(t *testing.T) {
	registry := newServer(t)
	in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "tests": "none"}
	first := act(t, orders().write(t), in)
	for _, reference := range []string{first.outputs["digest"], "latest"} {
		registry.remove(t, "acme/orders", reference)
	}
	again := act(t, orders().write(t), in)
	again.built(t, true)
	if again.outputs["image"] != first.outputs["image"] || again.outputs["changed"] != "true" {
		t.Errorf("outputs: %v", again.outputs)
	}
	registry.image(t, first.outputs["image"])
}

// proxy serves one module, which may import a package of the service's own.
func proxy(t *testing.T, mod, source string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "example.com", "dep", "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"list": "v1.0.0\n", "v1.0.0.info": `{"Version":"v1.0.0"}`, "v1.0.0.mod": mod} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := os.Create(filepath.Join(dir, "v1.0.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	files := zip.NewWriter(archive)
	for file, content := range map[string]string{"go.mod": mod, "dep.go": source} {
		w, err := files.Create("example.com/dep@v1.0.0/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	return "file://" + filepath.Dir(filepath.Dir(filepath.Dir(dir)))
}

// dependent is a service that uses the module of proxy.
func dependent(t *testing.T, proxy string) (checkout, []string) {
	t.Helper()
	code := orders().
		with("go.mod", "module github.com/acme/orders\n\ngo 1.24\n\nrequire example.com/dep v1.0.0\n").
		with("main.go", "package main\n\nimport \"example.com/dep\"\n\nfunc main() { println(dep.Name()) }\n")
	environ := []string{"GOPROXY=" + proxy, "GONOSUMDB=*", "GOFLAGS=-modcacherw"}
	tidy := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	tidy.Dir = code.write(t)
	tidy.Env = append(append(os.Environ(), environ...), "GOMODCACHE="+t.TempDir())
	if out, err := tidy.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sum, err := os.ReadFile(filepath.Join(tidy.Dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	return code.with("go.sum", string(sum)), environ
}

func TestBuild_downloadsNothingWhereNothingChanged(t *testing.T) {
	registry := newServer(t)
	code, environ := dependent(t, proxy(t, "module example.com/dep\n\ngo 1.24\n", "package dep\n\nfunc Name() string { return \"dep\" }\n"))
	in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "tests": "none"}
	act(t, code.write(t), in, append(environ, "GOMODCACHE="+t.TempDir())...).built(t, true)
	registry.requests()

	fresh := t.TempDir()
	got := act(t, code.write(t), in, append(environ, "GOMODCACHE="+fresh, "GOCACHE="+t.TempDir())...)
	got.built(t, false)
	registry.within(t, 4)
	if entries, err := os.ReadDir(filepath.Join(fresh, "example.com")); err == nil {
		t.Errorf("modules were downloaded: %v", entries)
	}
}

// Where the module cache is empty nobody knows that dep imports a package of
// the service's own, so a change of that package must not go unseen.
func TestBuild_doesNotRememberWhatItCannotTellForCertain(t *testing.T) {
	registry := newServer(t)
	code, environ := dependent(t, proxy(
		t, "module example.com/dep\n\ngo 1.24\n\nrequire github.com/acme/orders v0.0.0\n",
		"package dep\n\nimport \"github.com/acme/orders/greet\"\n\nfunc Name() string { return greet.Hello(\"dep\") }\n",
	))
	in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "tests": "none"}
	first := act(t, code.write(t), in, append(environ, "GOMODCACHE="+t.TempDir())...)
	first.built(t, true)
	changed := code.with("greet/greet.go", "package greet\n\n// Hello greets.\nfunc Hello(name string) string { return \"hi \" + name }\n")
	second := act(t, changed.write(t), in, append(environ, "GOMODCACHE="+t.TempDir())...)
	second.built(t, true)
	if first.outputs["digest"] == second.outputs["digest"] {
		t.Error("another program has the same digest")
	}
}

// Not every registry takes artifacts of kinds that it does not know, or lets a
// tag be set again.
func TestBuild_succeedsWhereTheRegistryKeepsNoRecord(t *testing.T) {
	refusing := func(status int, refuses func(method, path, body string) bool) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/manifests/") {
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					if refuses(r.Method, r.URL.Path, string(body)) {
						w.WriteHeader(status)
						fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"not here"}]}`)
						return
					}
				}
				next.ServeHTTP(w, r)
			})
		}
	}
	read := func(method, path, _ string) bool { return method == http.MethodGet && strings.Contains(path, "/key-") }
	kind := func(_, _, body string) bool { return strings.Contains(body, "vnd.fibership") }
	tagged := func(method, path, _ string) bool { return method == http.MethodPut && strings.Contains(path, "/key-") }
	for name, c := range map[string]struct {
		status  int
		refuses func(method, path, body string) bool
		warns   bool
	}{
		"forbids to read it":  {http.StatusForbidden, read, false},
		"has no such request": {http.StatusMethodNotAllowed, read, false},
		"takes no such kind":  {http.StatusBadRequest, kind, true},
		"lets no tag move":    {http.StatusBadRequest, tagged, true},
		"forbids the tag":     {http.StatusForbidden, tagged, true},
		"fails to keep it":    {http.StatusInternalServerError, kind, true},
	} {
		t.Run(name, func(t *testing.T) {
			registry := newServer(t, refusing(c.status, c.refuses))
			in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "tests": "none", "retry-timeout": "1s"}
			got := act(t, orders().write(t), in)
			got.built(t, true)
			if warned := strings.Contains(got.log, "::warning") && strings.Contains(got.log, "not remembered"); warned != c.warns {
				t.Errorf("warned: %v\n%s", warned, got.log)
			}
			registry.image(t, registry.host+"/acme/orders:latest")
			act(t, orders().write(t), in).wants(t, 0)
		})
	}
}

// A registry that wants tokens, as GHCR does, costs a greeting and a token more.
func TestBuild_findsNothingToDoInFourRequestsWithATokenToo(t *testing.T) {
	var host string
	registry := newServer(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/token":
				fmt.Fprintf(w, `{"token":%q}`, r.URL.Query().Get("scope"))
			case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer repository:acme/orders:"):
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, host))
				w.WriteHeader(http.StatusUnauthorized)
			default:
				next.ServeHTTP(w, r)
			}
		})
	})
	host = registry.host
	in := inputs{"image": host + "/acme/orders", "tags": "latest", "tests": "none", "registry-username": "bot", "registry-password": "x-password"}
	act(t, orders().write(t), in).built(t, true)
	registry.requests()
	act(t, orders().write(t), in).built(t, false)
	registry.within(t, 4)
}
