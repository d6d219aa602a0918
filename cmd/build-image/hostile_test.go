package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile is a test of a user's that looks for what is not its own. What it
// finds it fails with, so that our log tells.
const hostile = `package greet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSteal(t *testing.T) {
	look := func(where string, data []byte) {
		for _, secret := range []string{"stolen-" + "password", "stolen-" + "runtime", "stolen-" + "github", "stolen-" + "cloud"} {
			if strings.Contains(string(data), secret) {
				t.Errorf("FOUND %s in %s", strings.ToUpper(secret), where)
			}
		}
	}
	for _, pair := range os.Environ() {
		look("the environment", []byte(pair))
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "INPUT_") || strings.HasPrefix(name, "ACTIONS_") || strings.HasPrefix(name, "GITHUB_") {
			t.Errorf("FOUND variable %s", name)
		}
	}
	for _, pattern := range []string{"/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "FIBERSHIP_TEST_MAIN") {
				look(file, data)
			}
		}
	}
	for _, file := range []string{"CHECKOUT/.git/config", "CHECKOUT/gha-creds-1.json", "CHECKOUT/private"} {
		data, _ := os.ReadFile(file)
		look(file, data)
	}
	filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "steal_test.go" {
			data, _ := os.ReadFile(path)
			look(path, data)
		}
		return nil
	})
}

// TestPoison tries to change what the compiler reads.
func TestPoison(t *testing.T) {
	if os.Getenv("EXPECT_USER") == "" {
		t.Skip("not confined")
	}
	if os.Getuid() != 65533 {
		t.Errorf("FOUND user %d", os.Getuid())
	}
	for _, dir := range []string{"BUILD", "MODULES", "CHECKOUT", "CHECKOUT/greet"} {
		filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if d.IsDir() {
				err = os.WriteFile(filepath.Join(path, "evil.go"), []byte("package evil"), 0o644)
			} else if file, e := os.OpenFile(path, os.O_WRONLY, 0); e == nil {
				file.Close()
			} else {
				err = e
			}
			if err == nil {
				t.Errorf("FOUND %s writable", path)
				return filepath.SkipAll
			}
			return nil
		})
	}
}

// TestWrite does what tests do: it writes beside its source.
func TestWrite(t *testing.T) {
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Error("FOUND no folder to write to:", err)
	}
	for _, file := range []string{"testdata/out", "greet.go", "evil.go"} {
		if err := os.WriteFile(file, []byte("package greet\n\nconst Evil = 1\n"), 0o644); err != nil {
			t.Error("FOUND that tests cannot write:", err)
		}
	}
}
`

func TestBuild_keepsSecretsAndSourcesFromTheCodeItTests(t *testing.T) {
	registry := newServer(t)
	caches := filepath.Join(os.TempDir(), "fibership-test-caches")
	workspace := t.TempDir()
	steal := strings.NewReplacer("CHECKOUT", workspace, "BUILD", filepath.Join(caches, "build"), "MODULES", filepath.Join(caches, "modules")).Replace(hostile)
	confined := os.Geteuid() == 0 // only another user is kept from reading our memory
	code := orders()
	if confined {
		code = code.with("greet/steal_test.go", steal)
	} else {
		secretsOnly, _, _ := strings.Cut(steal, "// TestPoison")
		code = code.with("greet/steal_test.go", secretsOnly)
	}
	code.writeTo(t, workspace)
	secrets := []string{
		"ACTIONS_RUNTIME_TOKEN=stolen-runtime", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=stolen-runtime", "AWS_SECRET_ACCESS_KEY=stolen-cloud",
		"GITHUB_TOKEN=stolen-github",
	}
	in := inputs{
		"image": registry.host + "/acme/orders", "registry-username": "me", "registry-password": "stolen-password", "push": "false", "tests": "./greet",
	}
	if confined {
		secrets = append(secrets, "GOCACHE="+filepath.Join(caches, "build"), "GOMODCACHE="+filepath.Join(caches, "modules"))
		in["test-env"], in["unprivileged"] = "EXPECT_USER=yes", "true"
		// What other steps leave in a checkout.
		checkout{".git/config": "stolen-github", "private": "stolen-cloud", "gha-creds-1.json": "stolen-cloud"}.writeTo(t, workspace)
		for _, file := range []string{"private", "gha-creds-1.json"} {
			if err := os.Chmod(filepath.Join(workspace, file), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		open(t, workspace)
	}
	got := act(t, workspace, in, secrets...)
	if got.code != 0 || strings.Contains(got.log, "FOUND") {
		t.Errorf("exit %d\n%s", got.code, got.log)
	}
	if !confined {
		t.Log("not root: that another user runs the tests was not tried")
		return
	}
	if source, err := os.ReadFile(filepath.Join(workspace, "greet", "greet.go")); err != nil || string(source) != code["greet/greet.go"] {
		t.Errorf("the checkout was changed: %q, %v", source, err)
	}
	if _, err := os.Stat(filepath.Join(workspace, "greet", "testdata")); err == nil {
		t.Error("what tests write is in the checkout")
	}
	if info, err := os.Stat(filepath.Join(workspace, ".git")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf(".git is left as %v, %v", info.Mode(), err)
	}
}

func TestBuild_runsNothingAsRootThatWasNotToldTo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	registry := newServer(t)
	workspace := orders().write(t)
	closed := filepath.Dir(workspace)
	open(t, workspace)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	in := inputs{"image": registry.host + "/acme/orders", "tags": "latest", "unprivileged": "true"}
	got := act(t, workspace, in)
	got.wants(t, 1, "compiler and tests cannot be kept from what root may read: user 65533 may not use "+closed, "set unprivileged: false")
	if strings.Contains(got.log, "ok  \tgithub.com/acme") {
		t.Error("tests were run")
	}
	if strings.Contains(got.log, compiled) {
		t.Error("it was compiled")
	}
	registry.untouched(t)
}

// open lets other users read a folder, as they may a runner's workspace.
func open(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
