package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The private module.
var lib = checkout{"go.mod": "module git.example.com/lib\n\ngo 1.24\n", "lib.go": "package lib\n\n// Name is private.\nconst Name = \"private\"\n"}

// checksum is go.sum's for files. Source: go help go.sum, golang.org/x/mod/sumdb/dirhash.
func (c checkout) checksum(prefix string) string {
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(all, "%x  %s%s\n", sha256.Sum256([]byte(c[name])), prefix, name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(all.Sum(nil))
}

// privateHost serves module git.example.com/lib over TLS to whoever has the
// token, and gives a proxy that leads to it by that name.
func privateHost(t *testing.T, token string) (proxy, certificate string) {
	t.Helper()
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for name, content := range lib {
		w, err := z.Create("git.example.com/lib@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	modules := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/lib":
			_, _ = io.WriteString(w, `<meta name="go-import" content="git.example.com/lib mod https://git.example.com/modules">`)
		case "/modules/git.example.com/lib/@v/v1.0.0.info":
			_, _ = io.WriteString(w, `{"Version":"v1.0.0"}`)
		case "/modules/git.example.com/lib/@v/v1.0.0.mod":
			_, _ = io.WriteString(w, lib["go.mod"])
		case "/modules/git.example.com/lib/@v/v1.0.0.zip":
			_, _ = w.Write(archive.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(modules.Close)
	certificate = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: modules.Certificate().Raw})
	if err := os.WriteFile(certificate, block, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Dir(certificate))
	tunnel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "git.example.com:443" {
			http.Error(w, "nowhere", http.StatusBadGateway)
			return
		}
		there, err := net.Dial("tcp", modules.Listener.Addr().String())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(tunnel.Close)
	return tunnel.URL, certificate
}

// nosy is a test that looks for the token where the go command keeps it.
const nosy = `package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.example.com/lib"
)

func TestNosy(t *testing.T) {
	if lib.Name != "private" {
		t.Error("another module")
	}
	homes, _ := filepath.Glob(os.TempDir() + "/fibership-home-*/.netrc")
	for _, file := range append(homes, os.Getenv("HOME") + "/.netrc") {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "modules-" + "token-1") {
			t.Error("FOUND the token in", file)
		}
	}
	environ, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environ {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), "modules-" + "token-1") {
			t.Error("FOUND the token in", file)
		}
	}
}
`

func TestBuild_fetchesPrivateModulesAndShowsTheTokenToNoTest(t *testing.T) {
	proxy, certificate := privateHost(t, "modules-token-1")
	modules := filepath.Join(t.TempDir(), "modules")
	environ := []string{
		"HTTPS_PROXY=" + proxy, "https_proxy=" + proxy, "SSL_CERT_FILE=" + certificate, "GOMODCACHE=" + modules, "GOFLAGS=-modcacherw",
	}
	workspace := checkout{
		"go.mod": "module github.com/acme/orders\n\ngo 1.24\n\nrequire git.example.com/lib v1.0.0\n",
		"go.sum": "git.example.com/lib v1.0.0 " + lib.checksum("git.example.com/lib@v1.0.0/") + "\n" +
			"git.example.com/lib v1.0.0/go.mod " + checkout{"go.mod": lib["go.mod"]}.checksum("") + "\n",
		"main.go":      "package main\n\nimport \"git.example.com/lib\"\n\nfunc main() { println(lib.Name) }\n",
		"main_test.go": nosy,
	}.write(t)
	if os.Geteuid() == 0 {
		open(t, workspace)
		open(t, filepath.Dir(modules))
		environ = append(environ, "GOCACHE="+filepath.Join(os.TempDir(), "fibership-test-caches", "build"))
	}
	in := inputs{"image": "127.0.0.1:1/acme/orders", "push": "false", "private-modules": "git.example.com/*"}

	if os.Geteuid() == 0 {
		in["unprivileged"] = "true"
	}
	act(t, workspace, in, environ...).wants(t, 1, "git.example.com/lib", "Next: a module is private")
	act(t, workspace, in.and(inputs{"private-modules": "", "modules-token": "x"}), environ...).wants(t, 2, "private-modules")
	act(t, workspace, in.and(inputs{"private-modules": "*.example.com"}), environ...).wants(t, 2, "the host in full")

	got := act(t, workspace, in.and(inputs{"modules-token": "modules-token-1"}), environ...)
	got.wants(t, 0)
	if strings.Contains(got.log, "FOUND") || strings.Count(got.log, "modules-token-1") != strings.Count(got.log, "::add-mask::modules-token-1\n") {
		t.Errorf("the token is shown:\n%s", got.log)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "fibership-home-*", ".netrc")); len(left) > 0 {
		t.Errorf("the token is left in %s", left)
	}
}
