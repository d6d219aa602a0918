package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// untouched fails the test where anything was written to the registry.
func (s *server) untouched(t *testing.T) {
	t.Helper()
	for _, request := range s.requests() {
		if method, _, _ := strings.Cut(request, " "); method != http.MethodGet && method != http.MethodHead {
			t.Errorf("the registry was written to: %s", request)
		}
	}
}

// read is the log as people see it: commands are escaped on their way.
func (o outcome) read() string {
	return strings.NewReplacer("%25", "%", "%3A", ":", "%2C", ",", "%0A", "\n").Replace(o.log)
}

func (o outcome) wants(t *testing.T, code int, lines ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit %d, want %d", o.code, code)
	}
	for _, line := range lines {
		if !strings.Contains(o.read(), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	if t.Failed() {
		t.Log(o.log)
	}
}

func TestBuild_marksLinesThatDoNotCompile(t *testing.T) {
	for name, tests := range map[string]string{"beside tests": "./...", "without tests": "none"} {
		t.Run(name, func(t *testing.T) {
			registry := newServer(t)
			workspace := checkout{}
			for file, content := range orders().with("main.go", "package main\n\nfunc main() {\n\tundefined()\n}\n") {
				workspace["services/orders/"+file] = content
			}
			got := act(t, workspace.write(t), inputs{
				"image": registry.host + "/acme/orders", "working-directory": "services/orders", "tests": tests,
			})
			got.wants(t, 1, "::error ", "file=services/orders/main.go,line=4,", "undefined: undefined")
			registry.untouched(t)
			if image, ok := got.outputs["image"]; ok {
				t.Errorf("output image: %q", image)
			}
			if !strings.Contains(got.summary, "nothing was pushed") {
				t.Errorf("summary: %s", got.summary)
			}
		})
	}
}

func TestBuild_marksFailingTests(t *testing.T) {
	registry := newServer(t)
	workspace := orders().
		with("greet/greet.go", "package greet\n\n// Hello greets.\nfunc Hello(name string) string { return \"hi \" + name }\n").
		with("crash/crash.go", "package crash\n\n// At panics.\nfunc At(n []int) int {\n\treturn n[1]\n}\n").
		with("crash/crash_test.go", "package crash\n\nimport \"testing\"\n\nfunc TestAt(t *testing.T) {\n\tt.Run(\"empty\", func(t *testing.T) {\n\t\tAt(nil)\n\t})\n}\n")
	got := act(t, workspace.write(t), inputs{"image": registry.host + "/acme/orders"})
	got.wants(
		t, 1,
		"file=greet/greet_test.go,line=7,", `got "hi x"`,
		"file=crash/crash.go,line=5,", "index out of range",
		"Next: nothing was pushed",
	)
	registry.untouched(t)
	if !strings.Contains(got.outputs["tests"], `"failed":`) || strings.Contains(got.outputs["tests"], `"failed":0`) {
		t.Errorf("output tests: %q", got.outputs["tests"])
	}
	if !strings.Contains(got.summary, "Tests failed") || !strings.Contains(got.summary, "TestHello") {
		t.Errorf("summary: %s", got.summary)
	}
}

func TestBuild_refusesTooLittleCoverage(t *testing.T) {
	registry := newServer(t)
	in := inputs{"image": registry.host + "/acme/orders", "tests": "./greet", "min-coverage": "51%"}
	got := act(t, orders().write(t), in)
	got.wants(t, 1, "coverage is 50.0%, below min-coverage 51.0%")
	registry.untouched(t)
	if got.outputs["coverage"] != "50.0%" {
		t.Errorf("output coverage: %q", got.outputs["coverage"])
	}
	act(t, orders().write(t), in.and(inputs{"min-coverage": "50%", "push": "false"})).wants(t, 0)
}

func TestBuild_reportsAllWrongInputsAtOnce(t *testing.T) {
	registry := newServer(t)
	got := act(t, orders().write(t), inputs{
		"platforms": "linux", "include": "public", "env": "NO VALUE", "port": "70000", "push": "yes", "retry-timeout": "soon",
		"min-coverage": "many", "go-flags": "-o=/etc/passwd", "package": "./...", "user": "a b", "registry-password": "hunter2-hunter2",
	})
	got.wants(t, 2)
	for _, input := range []string{
		"image", "platforms", "include", "env", "port", "push", "retry-timeout", "min-coverage", "go-flags", "package", "user",
		"registry-password", // found beside those that cannot be read
	} {
		if !strings.Contains(got.read(), "Wrong input: "+input+":") {
			t.Errorf("nothing is said of the input %s", input)
		}
	}
	registry.untouched(t)
	if strings.Contains(strings.ReplaceAll(got.log, "::add-mask::hunter2-hunter2", ""), "hunter2") {
		t.Error("the log shows the password")
	}
	if t.Failed() {
		t.Log(got.log)
	}
}

func TestBuild_findsWrongInputsThatTheRepositoryShows(t *testing.T) {
	registry := newServer(t)
	image := registry.host + "/acme/orders"
	for name, c := range map[string]struct {
		in   inputs
		says string
	}{
		"no such folder":     {inputs{"working-directory": "nowhere"}, "Wrong input: working-directory"},
		"outside":            {inputs{"working-directory": ".."}, "Wrong input: working-directory"},
		"nothing to include": {inputs{"include": "./nothing:/app/nothing"}, "Wrong input: include"},
		"layout outside":     {inputs{"oci-layout": "../dist"}, "Wrong input: oci-layout"},
		"tag that is none":   {inputs{"tags": "a b"}, "Wrong input: tags"},
		"user, no password":  {inputs{"registry-username": "me"}, "Wrong input: registry-password"},
		"none beside a test": {inputs{"tests": "none\n./..."}, "Wrong input: tests"},
	} {
		t.Run(name, func(t *testing.T) {
			act(t, orders().write(t), c.in.and(inputs{"image": image})).wants(t, 2, c.says)
		})
	}
	registry.untouched(t)
}

func TestBuild_namesTheMainPackagesWhereThereIsNone(t *testing.T) {
	registry := newServer(t)
	got := act(t, orders().write(t), inputs{"image": registry.host + "/acme/orders", "package": "./greet"})
	got.wants(t, 1, `package ./greet is "greet", not a main package`, "Next: set the input package to one of: ./.")
	registry.untouched(t)
}

func TestBuild_refusesToIncludeWhatLiesOutside(t *testing.T) {
	registry := newServer(t)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	workspace := orders().write(t)
	for _, link := range []string{"public/link", "link"} {
		if err := os.Symlink(outside, filepath.Join(workspace, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, include := range []string{"./public:/app/public", "./link:/app/link", "../" + filepath.Base(workspace) + "/../x:/x"} {
		got := act(t, workspace, inputs{"image": registry.host + "/acme/orders", "tests": "none", "include": include})
		if got.code == 0 {
			t.Errorf("%s was included", include)
		}
	}
	registry.untouched(t)
}

func TestBuild_refusesToEmbedCredentials(t *testing.T) {
	registry := newServer(t)
	workspace := orders().
		with("gha-creds-0123456789abcdef.json", "{}").
		with("files.go", "package main\n\nimport \"embed\"\n\n//go:embed *\nvar files embed.FS\n").
		with("main.go", "package main\n\nfunc main() { println(files.ReadFile) }\n").write(t)
	got := act(t, workspace, inputs{"image": registry.host + "/acme/orders", "tests": "none"})
	got.wants(t, 1, "gha-creds-0123456789abcdef.json holds secrets", "Next: narrow the go:embed pattern")
	registry.untouched(t)
}

func TestBuild_saysWhereThereIsNoModule(t *testing.T) {
	workspace := checkout{"main.go": "package main\n\nfunc main() {}\n"}.write(t)
	got := act(t, workspace, inputs{"image": "127.0.0.1:1/acme/orders", "push": "false"})
	got.wants(t, 1, "Next: set the input working-directory to the folder that holds go.mod or go.work")
}

// guarded lets in who knows the password, as registries do.
func guarded(user, password string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestBuild_saysWhomTheRegistryRefused(t *testing.T) {
	registry := newServer(t, guarded("bot", "right-password"))
	in := inputs{"image": registry.host + "/acme/orders", "tests": "none"}
	workspace := orders().write(t)

	got := act(t, workspace, in.and(inputs{"registry-username": "bot", "registry-password": "wrong-password"}))
	got.wants(t, 1, registry.host, `user "bot"`, "wrong user or password", "Next: correct the inputs registry-username and registry-password")
	registry.untouched(t)

	got = act(t, workspace, in)
	got.wants(t, 1, "without credentials", "Next: set the inputs registry-username and registry-password")
	registry.untouched(t)

	got = act(t, workspace, in.and(inputs{"registry-username": "bot", "registry-password": "right-password"}))
	got.wants(t, 0, "credentials for "+registry.host+": from registry-username and registry-password")
	if strings.Contains(strings.ReplaceAll(got.log, "::add-mask::right-password", ""), "right-password") {
		t.Error("the log shows the password")
	}
}

// down answers 503 for a time, from the first request on.
func down(lasts time.Duration) func(http.Handler) http.Handler {
	var began sync.Once
	var end time.Time
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began.Do(func() { end = time.Now().Add(lasts) })
			if time.Now().Before(end) {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestBuild_compilesWhileTheRegistryIsInTrouble(t *testing.T) {
	registry := newServer(t, down(6*time.Second))
	got := act(t, orders().write(t), inputs{"image": registry.host + "/acme/orders", "tests": "none", "tags": "v1"})
	got.wants(t, 0, "503 Service Unavailable; again in", compiled, "compiling for")
	if strings.Index(got.log, "compiling for") > strings.LastIndex(got.log, "again in") {
		t.Errorf("the compiler waited for the registry\n%s", got.log)
	}
	registry.image(t, registry.host+"/acme/orders:v1")
}

func TestBuild_saysThatTheOutageLastedTooLong(t *testing.T) {
	registry := newServer(t, down(time.Hour))
	got := act(t, orders().write(t), inputs{"image": registry.host + "/acme/orders", "tests": "none", "retry-timeout": "1s"})
	got.wants(t, 1, "the registry has been in trouble for ", "Next: run the job again when the registry is well; the input retry-timeout (1s)")
	registry.untouched(t)
}
