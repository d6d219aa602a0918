package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// greeter asks each registry once how it wants to be spoken to. Every session
// begins with that question, GET /v2/ without credentials, and the answer is
// the registry's, not the repository's.
// Source: OCI distribution specification, "Determining support".
type greeter struct {
	next http.RoundTripper

	mu        sync.Mutex
	greetings map[string]*greeting // by scheme and host
}

// greeting is a registry's answer. Whoever holds the turn asks for it, and the
// others wait, for as long as their context lasts.
type greeting struct {
	turn   chan struct{}
	known  bool
	status int
	header http.Header
	body   []byte
}

// mostGreeting bounds what is kept of an answer's body, in bytes.
const mostGreeting = 64 << 10

func newGreeter(next http.RoundTripper) *greeter {
	return &greeter{next: next, greetings: map[string]*greeting{}}
}

func (g *greeter) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet || request.URL.Path != "/v2/" || request.Header.Get("Authorization") != "" {
		return g.next.RoundTrip(request)
	}
	answer := g.of(request.URL.Scheme + "://" + request.URL.Host)
	select {
	case answer.turn <- struct{}{}:
		defer func() { <-answer.turn }()
	case <-request.Context().Done():
		return nil, context.Cause(request.Context())
	}
	if !answer.known {
		response, err := g.next.RoundTrip(request)
		// What else a registry may say is trouble, and may be otherwise the next time.
		if err != nil || (response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized) {
			return response, err
		}
		if err := answer.keep(response); err != nil {
			return nil, err
		}
	}
	return answer.to(request), nil
}

func (g *greeter) of(registry string) *greeting {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer := g.greetings[registry]
	if answer == nil {
		answer = &greeting{turn: make(chan struct{}, 1)}
		g.greetings[registry] = answer
	}
	return answer
}

func (a *greeting) keep(response *http.Response) error {
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostGreeting))
	if err != nil {
		return fmt.Errorf("read the registry's greeting: %w", err)
	}
	a.known, a.status, a.header, a.body = true, response.StatusCode, response.Header, body
	return nil
}

// to is the answer, as if it had been given to request.
func (a *greeting) to(request *http.Request) *http.Response {
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
		Request: request,
	}
}
