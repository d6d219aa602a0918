package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// distribution starts a real registry (Debian's docker-registry) that lets
// user bot in with right-password.
func distribution(t *testing.T) (host string) {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("docker-registry is not installed")
		}
		t.Skip("docker-registry is not installed: apt-get install docker-registry")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host = listener.Addr().String()
	_ = listener.Close()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"htpasswd": "bot:$2y$05$abcdefghijklmnopqrstuuBO.kmgTJhdt40M5ZyHgFmcpBdUb9aS.\n",
		"config.yml": fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %s, secret: test}
auth: {htpasswd: {realm: test, path: %s}}
`, filepath.Join(dir, "data"), host, filepath.Join(dir, "htpasswd")),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output strings.Builder
	cmd := exec.CommandContext(t.Context(), program, "serve", filepath.Join(dir, "config.yml")) // ends with the test
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && testing.Verbose() {
			t.Log(output.String())
		}
	})
	client := &http.Client{Timeout: time.Second}
	for deadline := time.Now().Add(20 * time.Second); ; {
		response, err := client.Get("http://" + host + "/v2/")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusUnauthorized {
				return host
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("docker-registry does not answer: %v\n%s", err, output.String())
		}
		time.Sleep(20 * time.Millisecond) // polls with a deadline
	}
}

// before puts a counting server before a registry.
func before(t *testing.T, host string) *server {
	t.Helper()
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: host})
		r.Out.Host = r.In.Host // the registry names itself in Location
	}}
	return newServer(t, func(http.Handler) http.Handler { return proxy })
}

func TestBuild_mountsBaseLayersInTheSameRegistry(t *testing.T) {
	registry := before(t, distribution(t))
	in := inputs{"tests": "none", "tags": "v1", "registry-username": "bot", "registry-password": "right-password"}
	act(t, orders().with("main.go", "package main\n\nfunc main() {}\n").write(t), in.and(inputs{"image": registry.host + "/acme/base"})).wants(t, 0)
	registry.requests()
	act(t, orders().write(t), in.and(inputs{"image": registry.host + "/acme/orders", "base-image": registry.host + "/acme/base:v1"})).wants(t, 0)
	mounts, uploads := 0, 0
	for _, request := range registry.requests() {
		if strings.Contains(request, "mount=") {
			mounts++
		}
		if strings.HasPrefix(request, "PATCH ") {
			uploads++
		}
	}
	// Two layers are the base's. The program, the config, the record's config
	// and its empty layer are new to the repository.
	if mounts != 2 || uploads != 4 {
		t.Errorf("%d layers were mounted, %d blobs uploaded", mounts, uploads)
	}
}

func TestBuild_pushesToARealRegistryThatWantsAPassword(t *testing.T) {
	host := distribution(t)
	workspace := orders().write(t)
	in := inputs{"image": host + "/acme/orders", "tests": "none", "tags": "v1", "platforms": "linux/amd64,linux/arm64"}
	signed := in.and(inputs{"registry-username": "bot", "registry-password": "right-password"})

	act(t, workspace, in.and(inputs{"registry-username": "bot", "registry-password": "wrong-password"})).
		wants(t, 1, `user "bot"`, "wrong user or password", "Next: correct the inputs")

	first := act(t, workspace, signed)
	first.wants(t, 0)
	ref, err := name.ParseReference(first.outputs["image"])
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref, remote.WithAuth(&authn.Basic{Username: "bot", Password: "right-password"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}

	second := act(t, workspace, signed)
	second.built(t, false)
	if second.outputs["changed"] != "false" || second.outputs["image"] != first.outputs["image"] {
		t.Errorf("outputs: %v", second.outputs)
	}

	t.Run("credentials from DOCKER_CONFIG", func(t *testing.T) {
		config := t.TempDir()
		auth := base64.StdEncoding.EncodeToString([]byte("bot:right-password"))
		if err := os.WriteFile(filepath.Join(config, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth), 0o600); err != nil {
			t.Fatal(err)
		}
		act(t, workspace, in, "DOCKER_CONFIG="+config).wants(t, 0, "credentials for "+host+": from DOCKER_CONFIG")
	})
	t.Run("a credential helper that the image lacks", func(t *testing.T) {
		config := t.TempDir()
		if err := os.WriteFile(filepath.Join(config, "config.json"), fmt.Appendf(nil, `{"credHelpers":{%q:"not-here"}}`, host), 0o600); err != nil {
			t.Fatal(err)
		}
		act(t, workspace, in, "DOCKER_CONFIG="+config).wants(t, 1, "docker-credential-not-here", "Next: set the inputs registry-username and registry-password")
	})
}
