package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
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
	return serve(t, nil)
}

// serve starts it over TLS where it is given a certificate.
func serve(t *testing.T, with *keyPair) (host string) {
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
	url, client, secure := "http://"+host, &http.Client{Timeout: time.Second}, ""
	if with != nil {
		url, client.Transport = "https://"+host, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: with.pool}}
		secure = fmt.Sprintf(", tls: {certificate: %s, key: %s}", with.certificate, with.key)
	}
	for file, content := range map[string]string{
		"htpasswd": "bot:$2y$05$abcdefghijklmnopqrstuuBO.kmgTJhdt40M5ZyHgFmcpBdUb9aS.\n",
		"config.yml": fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %s, secret: test%s}
auth: {htpasswd: {realm: test, path: %s}}
`, filepath.Join(dir, "data"), host, secure, filepath.Join(dir, "htpasswd")),
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
	for deadline := time.Now().Add(20 * time.Second); ; {
		response, err := client.Get(url + "/v2/")
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

// keyPair is a certificate that signs itself, for 127.0.0.1, in files.
type keyPair struct {
	certificate, key string
	pool             *x509.CertPool
}

func newKeyPair(t *testing.T) *keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := &keyPair{filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()}
	for file, block := range map[string]*pem.Block{
		pair.certificate: {Type: "CERTIFICATE", Bytes: certificate}, pair.key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair.pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	return pair
}

func TestBuild_pushesOverTLSToWhomItTrustsOnly(t *testing.T) {
	pair := newKeyPair(t)
	host := serve(t, pair)
	workspace := orders().write(t)
	in := inputs{
		"image": host + "/acme/orders", "tests": "none", "tags": "v1", "retry-timeout": "1s",
		"registry-username": "bot", "registry-password": "right-password",
	}
	act(t, workspace, in).wants(t, 1, "certificate signed by unknown authority")

	trusting := "SSL_CERT_FILE=" + pair.certificate
	got := act(t, workspace, in, trusting)
	got.wants(t, 0)
	ref, err := name.ParseReference(got.outputs["image"])
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "bot", Password: "right-password"}),
		remote.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pair.pool}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	again := act(t, workspace, in, trusting)
	again.built(t, false)
	act(t, workspace, in.and(inputs{"registry-password": "wrong-password"}), trusting).wants(t, 1, "wrong user or password")
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
