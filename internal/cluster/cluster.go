// Package cluster is the way to a Kubernetes cluster: it finds the
// credentials, applies, reads and deletes objects, asks for rights, and sends
// requests to services and pods through the API server. It knows nothing of
// releases, strategies or what a rollout means.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Manager is the field manager of everything that Fibership applies.
const Manager = "fibership"

// A Client talks to one cluster with one set of credentials. It does not slow
// itself down: the server's own limits (429) are honoured instead, and at most
// sixteen short requests are under way at once. An API server that is away for
// up to half a minute is waited for. Safe for concurrent use.
type Client struct {
	Kube    kubernetes.Interface
	Dynamic dynamic.Interface
	REST    *rest.Config // what the clients above are made from; a secret
	Source  string       // where the credentials come from, for the log
	Server  string       // the API server's host, for the log

	plain    *rest.Config // REST before our transport was put on
	http     *http.Client
	base     *url.URL
	gate     *gate
	kinds    *kinds
	types    *schemas
	metadata metadata.Interface
}

// Connect finds the cluster: the kubeconfig given (content or path), else the
// files that KUBECONFIG names, else the pod that this runs in. It sends no
// request. The error is a *ConfigError: it names the source and what to give
// instead, never a content.
func Connect(o Options) (*Client, error) {
	config, source, err := load(o)
	if err != nil {
		return nil, err
	}
	return New(config, source)
}

// New is a client with the credentials of config; source says where they come
// from.
func New(config *rest.Config, source string) (*Client, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, &ConfigError{Source: source, Err: errors.New("the address of the API server is not a URL")}
	}
	c := &Client{Source: source, Server: base.Host, plain: rest.CopyConfig(config), base: base, gate: newGate(atOnce)}
	// The server limits its clients itself, by priority and fairness; waiting
	// on this side as well would only make a large apply slow.
	c.plain.QPS, c.plain.Burst = -1, -1
	c.plain.UserAgent = Manager
	// client-go would print what the server likes to say, past every log.
	c.plain.WarningHandler = rest.NoWarnings{}
	if err := c.dial(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// Fenced is a copy of the client whose writes call held first and are not
// sent when it fails; its error is the write's error. Else it gives the time by
// which the write must have ended, zero: any. One that has not is given up;
// where it may be repeated that is done, and held is called anew. Dry runs and
// questions about rights are no writes.
func (c *Client) Fenced(held func(context.Context) (until time.Time, err error)) *Client {
	fenced := *c
	if err := fenced.dial(held); err != nil {
		// The same configuration made a client before.
		panic(fmt.Sprintf("cluster: %v", err))
	}
	fenced.kinds, fenced.types = c.kinds, c.types
	return &fenced
}

func (c *Client) dial(held func(context.Context) (time.Time, error)) error {
	c.REST = rest.CopyConfig(c.plain)
	c.REST.Wrap(func(next http.RoundTripper) http.RoundTripper {
		if held != nil {
			next = fence{next: next, held: held}
		}
		return &patient{next: next, gate: c.gate, away: rideOut}
	})
	var err error
	if c.http, err = rest.HTTPClientFor(c.REST); err != nil {
		return &ConfigError{Source: c.Source, Err: fmt.Errorf("the credentials cannot be used: %w", secretless(err))}
	}
	if c.Kube, err = kubernetes.NewForConfigAndClient(c.REST, c.http); err != nil {
		return fmt.Errorf("%s: %w", c.Source, err)
	}
	if c.Dynamic, err = dynamic.NewForConfigAndClient(c.REST, c.http); err != nil {
		return fmt.Errorf("%s: %w", c.Source, err)
	}
	if c.metadata, err = metadata.NewForConfigAndClient(c.REST, c.http); err != nil {
		return fmt.Errorf("%s: %w", c.Source, err)
	}
	finder, err := discovery.NewDiscoveryClientForConfigAndClient(c.REST, c.http)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Source, err)
	}
	c.kinds, c.types = newKinds(finder), newSchemas(finder)
	return nil
}
