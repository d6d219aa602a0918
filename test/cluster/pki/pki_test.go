package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

// serve starts a TLS server that wants a client certificate and answers with the client's user and groups.
func serve(t *testing.T, authority *Authority, hosts ...string) *httptest.Server {
	t.Helper()
	pair, err := authority.Server("server", hosts...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := r.TLS.PeerCertificates[0].Subject
		_, _ = io.WriteString(w, subject.CommonName)
		for _, group := range subject.Organization {
			_, _ = io.WriteString(w, " "+group)
		}
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{keyPair(t, pair)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool(t, authority.Certificate()),
		MinVersion:   tls.VersionTLS13,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func client(t *testing.T, certificate tls.Certificate, trusted []byte) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{certificate},
		RootCAs:      pool(t, trusted),
		MinVersion:   tls.VersionTLS13,
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func keyPair(t *testing.T, pair Pair) tls.Certificate {
	t.Helper()
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func pool(t *testing.T, certificate []byte) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certificate) {
		t.Fatal("the authority's certificate is not PEM")
	}
	return pool
}

func newAuthority(t *testing.T) *Authority {
	t.Helper()
	authority, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func TestKubeconfig_opensTheServerAsUserAndGroups(t *testing.T) {
	authority := newAuthority(t)
	server := serve(t, authority, "127.0.0.1")
	pair, err := authority.Client("jane", "editors", "viewers")
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := authority.Kubeconfig("here", server.URL, pair)
	if err != nil {
		t.Fatal(err)
	}

	var read kubeconfig
	if err := yaml.UnmarshalStrict(rendered, &read); err != nil {
		t.Fatalf("%v in\n%s", err, rendered)
	}
	if read.CurrentContext != "here" || read.Contexts[0].Context.Cluster != "here" || read.Contexts[0].Context.User != "here" {
		t.Errorf("the context does not join cluster and user:\n%s", rendered)
	}
	user := Pair{Certificate: read.Users[0].User.Certificate, Key: read.Users[0].User.Key}
	cluster := read.Clusters[0].Cluster
	got, err := get(t, client(t, keyPair(t, user), cluster.Certificate), cluster.Server)
	if err != nil {
		t.Fatal(err)
	}
	if got != "jane editors viewers" {
		t.Errorf("the server saw %q", got)
	}
}

func TestServer_isTrustedUnderItsHostsOnly(t *testing.T) {
	authority := newAuthority(t)
	server := serve(t, authority, "10.0.0.1", "kubernetes.default.svc")
	pair, err := authority.Client("jane")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, client(t, keyPair(t, pair), authority.Certificate()), server.URL); err == nil {
		t.Errorf("127.0.0.1 is none of its hosts, and yet it answered %q", got)
	}
}

func TestServer_refusesClientsOfAnotherAuthority(t *testing.T) {
	authority, stranger := newAuthority(t), newAuthority(t)
	server := serve(t, authority, "127.0.0.1")
	pair, err := stranger.Client("jane")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, client(t, keyPair(t, pair), authority.Certificate()), server.URL); err == nil {
		t.Errorf("a stranger's client got %q", got)
	}
}

func TestNewSigningKey_givesTwoHalvesOfOneKey(t *testing.T) {
	private, public, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	privateBlock, _ := pem.Decode(private)
	key, err := x509.ParseECPrivateKey(privateBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if publicBlock, _ := pem.Decode(public); !slices.Equal(publicBlock.Bytes, want) {
		t.Error("the public half belongs to another key")
	}
}
