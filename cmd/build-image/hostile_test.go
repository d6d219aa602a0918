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
	if os.Getuid() == 0 && os.Getenv("EXPECT_USER") != "" {
		t.Errorf("FOUND root")
	}
	if err := os.WriteFile("written", nil, 0o644); err == nil && os.Getenv("EXPECT_USER") != "" {
		t.Error("FOUND that the checkout can be written to")
	}
}
`

func TestBuild_keepsSecretsFromTheCodeItTests(t *testing.T) {
	registry := newServer(t)
	workspace := orders().with("greet/steal_test.go", hostile).write(t)
	secrets := []string{
		"ACTIONS_RUNTIME_TOKEN=stolen-runtime", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=stolen-runtime", "AWS_SECRET_ACCESS_KEY=stolen-cloud",
		"GITHUB_TOKEN=stolen-github",
	}
	in := inputs{
		"image": registry.host + "/acme/orders", "registry-username": "me", "registry-password": "stolen-password", "push": "false", "tests": "./greet",
	}
	// As root only another user is kept from reading our memory.
	if os.Geteuid() == 0 {
		caches := filepath.Join(os.TempDir(), "fibership-test-caches")
		secrets = append(secrets, "GOCACHE="+filepath.Join(caches, "build"), "GOMODCACHE="+filepath.Join(caches, "modules"))
		in["test-env"] = "EXPECT_USER=65532"
		for dir := workspace; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := act(t, workspace, in, secrets...)
	if got.code != 0 || strings.Contains(got.log, "FOUND") {
		t.Errorf("exit %d\n%s", got.code, got.log)
	}
	if os.Geteuid() != 0 {
		t.Log("not root: that another user runs the tests was not tried")
	}
}
