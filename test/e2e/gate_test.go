package e2e

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// gate stands before the API server. While it is shut nothing gets through,
// and what was on its way is cut.
type gate struct {
	address string

	mu   sync.Mutex
	open context.Context
	shut context.CancelCauseFunc
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
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(open, func() { cancel(errShut) })()
		if open.Err() != nil {
			panic(http.ErrAbortHandler)
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

func (g *gate) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open, g.shut = context.WithCancelCause(context.Background())
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
