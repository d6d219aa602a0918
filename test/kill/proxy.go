// Package kill shows what a killed run leaves, and that the next one mends it:
// it kills actions at chosen requests to the API server, for real, and judges
// what the next run makes of it. Tests take a sample of the points, the
// benchmark all of them.
package kill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Moment is when, of a request's life, the process that sent it is killed, or
// cancelled.
type Moment int

// The moments.
const (
	Sent      Moment = iota // the server never sees the request
	Answered                // the server has done it, the process never learns so
	Cancelled               // the process gets SIGINT while the request goes its way
	moments
)

func (m Moment) String() string {
	switch m {
	case Answered:
		return "answered"
	case Cancelled:
		return "cancelled"
	case Sent, moments:
	}
	return "sent"
}

// Point is one place to kill at: the n-th request, from 1, or the first one
// that holds a text, such as "DELETE /apis/apps/"; nowhere where neither is said.
type Point struct {
	Request int
	Moment  Moment
	Line    string
}

func (p Point) String() string {
	if p.Line != "" {
		return fmt.Sprintf("request %q %s", p.Line, p.Moment)
	}
	return fmt.Sprintf("request %d %s", p.Request, p.Moment)
}

// Proxy stands between one process and the API server, and counts its requests
// in the order in which they come. It uses credentials of its own, so that the
// process needs none.
type Proxy struct {
	handler http.Handler
	server  *http.Server
	address string // host:port; kept when it comes back
	at      Point

	kill chan func() error // takes one: whom to kill is known only once it runs

	mu       sync.Mutex
	requests []string
	reached  int       // the point's place in the order; 0: not yet
	killed   time.Time // zero: not yet
	fired    error
}

// errKilled ends the killed process's connections.
var errKilled = errors.New("the process was killed at this request")

// StartProxy begins to listen on a port of loopback.
func StartProxy(upstream *rest.Config, at Point) (*Proxy, error) {
	transport, err := rest.TransportFor(upstream)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	target, _, err := rest.DefaultServerUrlFor(upstream)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	target = &url.URL{Scheme: target.Scheme, Host: target.Host}
	p := &Proxy{at: at, kill: make(chan func() error, 1)}
	reverse := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // watches and logs come as they come
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host },
		ModifyResponse: func(r *http.Response) error {
			if at, _ := r.Request.Context().Value(here{}).(bool); at && p.at.Moment == Answered {
				p.strike()
				return errKilled
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := p.note(r)
		if at && p.at.Moment == Sent {
			p.strike()
			panic(http.ErrAbortHandler)
		}
		if at && p.at.Moment == Cancelled {
			p.strike()
		}
		reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), here{}, at)))
	})
	if err := p.Return(); err != nil {
		return nil, err
	}
	return p, nil
}

// Leave is as if the API server went away: connections are cut and nobody
// listens any more.
func (p *Proxy) Leave() error { return p.server.Close() }

// Return listens again, where it did before.
func (p *Proxy) Return() error {
	listener, err := listen(cmp.Or(p.address, "127.0.0.1:0"))
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: p.handler}
	p.address, p.server = listener.Addr().String(), server
	go func() { _ = server.Serve(listener) }()
	return nil
}

// listen tries for five seconds: for a moment somebody else's connection may
// have the port.
func listen(address string) (net.Listener, error) {
	for begun := time.Now(); ; <-time.After(50 * time.Millisecond) {
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
		if err == nil || time.Since(begun) > 5*time.Second {
			return listener, err
		}
	}
}

// here is the context key of whether a request is the point.
type here struct{}

// note keeps the request, and says whether it is the point.
func (p *Proxy) note(r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := r.Method + " " + r.URL.Path
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	p.requests = append(p.requests, line)
	n := len(p.requests)
	if p.reached == 0 && (n == p.at.Request || p.at.Line != "" && strings.Contains(line, p.at.Line)) {
		p.reached = n
		return true
	}
	return false
}

// Kills says how the process is killed when its time has come. It is called once.
func (p *Proxy) Kills(kill func() error) { p.kill <- kill }

func (p *Proxy) strike() {
	kill := <-p.kill
	p.mu.Lock() // until it is noted: whoever waited for the process asks at once
	defer p.mu.Unlock()
	p.killed, p.fired = time.Now(), kill()
}

// Killed says when the point was reached, and at which request. A process may
// end before: how many requests it makes depends on what it waits for.
func (p *Proxy) Killed() (at string, when time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed.IsZero() {
		return "", time.Time{}, nil
	}
	return p.requests[p.reached-1], p.killed, p.fired
}

// Requests is how many have come.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.requests)
}

// Seen is the requests that have come, "METHOD /path?query" each, in order.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Kubeconfig leads to the proxy.
func (p *Proxy) Kubeconfig() (string, error) {
	content, err := clientcmd.Write(clientcmdapi.Config{
		CurrentContext: "proxy",
		Contexts:       map[string]*clientcmdapi.Context{"proxy": {Cluster: "proxy"}},
		Clusters:       map[string]*clientcmdapi.Cluster{"proxy": {Server: "http://" + p.address}},
	})
	return string(content), err
}

// Close cuts what is still open.
func (p *Proxy) Close() error { return p.server.Close() }
