package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fibership/fibership/internal/release"
)

// gate stands before the API server. While it is shut nothing gets through,
// and what was on its way is cut.
type gate struct {
	address string

	// written, where it is not nil, is told of each record of a release that is
	// sent; what it gives is done once the server has it and before it answers.
	written func(release.Record) func(*http.Request)

	mu      sync.Mutex
	open    context.Context
	shut    context.CancelCauseFunc
	seen    []string // the paths that got through
	refused string   // what is in a path that does not
}

var errShut = errors.New("the API server is away")

// gated lets the place's actions go through a gate.
func (p *place) gated() *gate {
	p.t.Helper()
	transport, err := rest.TransportFor(p.Client.REST)
	if err != nil {
		p.t.Fatal(err)
	}
	target, err := url.Parse(p.Client.REST.Host)
	if err != nil {
		p.t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	g := &gate{address: listener.Addr().String()}
	g.mend()
	reverse := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host },
		ModifyResponse: func(r *http.Response) error {
			if do, _ := r.Request.Context().Value(then{}).(func(*http.Request)); do != nil {
				do(r.Request)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		open := g.open
		refused := g.refused != "" && strings.Contains(r.URL.Path, g.refused)
		if !refused {
			g.seen = append(g.seen, r.URL.Path)
		}
		g.mu.Unlock()
		if refused {
			http.Error(w, "refused", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(open, func() { cancel(errShut) })()
		if open.Err() != nil {
			panic(http.ErrAbortHandler)
		}
		if g.written != nil && r.Method == http.MethodPut {
			if record, ok := recordIn(r); ok {
				ctx = context.WithValue(ctx, then{}, g.written(record))
			}
		}
		reverse.ServeHTTP(w, r.WithContext(ctx))
	})}
	go func() { _ = server.Serve(listener) }()
	p.t.Cleanup(func() { _ = server.Close() })
	config, err := clientcmd.Write(clientcmdapi.Config{
		CurrentContext: "gate",
		Contexts:       map[string]*clientcmdapi.Context{"gate": {Cluster: "gate"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"gate": {Server: "http://" + g.address}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.kubeconfig = string(config)
	return g
}

// then is the context key of what is done before an answer.
type then struct{}

// recordIn reads the record of a release from a request that writes one.
func recordIn(r *http.Request) (release.Record, bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	secret, ok := object.(*corev1.Secret)
	if err != nil || !ok {
		return release.Record{}, false
	}
	var record release.Record
	err = json.Unmarshal(secret.Data["record"], &record)
	return record, err == nil
}

func (g *gate) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open, g.shut = context.WithCancelCause(context.Background())
}

// refuse answers no request any more that has the word in its path.
func (g *gate) refuse(word string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = word
}

// passed is how many requests got through that have the word in their path.
func (g *gate) passed(word string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, path := range g.seen {
		if strings.Contains(path, word) {
			n++
		}
	}
	return n
}

// away shuts the gate for a while.
func (g *gate) away(t *testing.T, while time.Duration) {
	t.Helper()
	g.mu.Lock()
	g.shut(errShut)
	g.mu.Unlock()
	select {
	case <-time.After(while):
	case <-t.Context().Done():
	}
	g.mend()
}
