// Package registry talks to container registries: credentials, resolving,
// pushing and looking up what is there. It alone imports ggcr's remote, and it
// rides out a registry's troubles for as long as it is told to. How images are
// made is no business of it.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fibership/fibership/internal/progress"
)

// Options say who we are to registries and how patient we are with them. The
// zero value takes credentials from DOCKER_CONFIG, gives up at the first
// trouble and says nothing.
type Options struct {
	Credentials Credentials
	Login       Login         // asked between Credentials and DOCKER_CONFIG; nil: nobody is
	Patience    time.Duration // how long one outage is ridden out
	Log         progress.Log  // nil: says nothing
}

// Client keeps one authorised connection for each repository. It is safe for
// concurrent use.
type Client struct {
	keys     keychain
	patience time.Duration
	log      progress.Log
	network  http.RoundTripper

	mu       sync.Mutex
	sessions map[session]*login
}

// session is what a token is asked for.
type session struct {
	repository string
	action     string // pull, or push and pull
}

// login is a session's handshake, done once. Whoever holds the turn does it,
// and the others wait, for as long as their context lasts.
type login struct {
	turn      chan struct{}
	transport http.RoundTripper
}

// New gives a client.
func New(options Options) *Client {
	log := options.Log
	if log == nil {
		log = progress.Discard
	}
	return &Client{
		keys:     keychain{given: options.Credentials, login: options.Login, log: log, told: &sync.Map{}, passes: &sync.Map{}},
		patience: options.Patience,
		log:      log,
		network:  newNetwork(newTransport()),
		sessions: map[session]*login{},
	}
}

// newNetwork is what all sessions of a client share.
func newNetwork(transport http.RoundTripper) http.RoundTripper {
	return newGreeter(&hinter{&staller{transport}})
}

// newTransport is the default one, but for a registry that takes a request
// and never answers it.
func newTransport() http.RoundTripper {
	t := remote.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	return t
}

// Login shakes hands with the registry for pushing to repository: the ping
// and the token that every later request needs. It may be called early, to
// have it done while something else takes its time.
func (c *Client) Login(ctx context.Context, repository name.Repository) error {
	return c.ride(ctx, "log in to "+repository.RegistryStr(), func(ctx context.Context) error {
		_, err := c.options(ctx, repository, transport.PushScope)
		return c.explain(ctx, repository, err)
	})
}

// options are ggcr's for one request: our transport, with retries left to us.
func (c *Client) options(ctx context.Context, repository name.Repository, action string) ([]remote.Option, error) {
	key := session{repository.Name(), action}
	c.mu.Lock()
	// Who may push may pull: one greeting and one token serve both.
	if push := (session{repository.Name(), transport.PushScope}); c.sessions[push] != nil {
		key = push
	}
	s := c.sessions[key]
	if s == nil {
		s = &login{turn: make(chan struct{}, 1)}
		c.sessions[key] = s
	}
	c.mu.Unlock()

	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if s.transport == nil {
		auth, err := c.keys.resolve(ctx, repository)
		if err != nil {
			return nil, err
		}
		t, err := transport.NewWithContext(ctx, repository.Registry, auth, c.network, []string{repository.Scope(action)})
		if err != nil {
			return nil, err
		}
		s.transport = t
	}
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(s.transport),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}, nil
}

// request runs f with what it needs for repository, again and again while the
// registry is in trouble.
func (c *Client) request(ctx context.Context, what string, repository name.Repository, action string, f func([]remote.Option) error) error {
	return c.ride(ctx, what, func(ctx context.Context) error {
		options, err := c.options(ctx, repository, action)
		if err == nil {
			err = f(options)
		}
		return c.explain(ctx, repository, err)
	})
}

// Resolve finds the digest behind a reference. That of a digest is itself, and
// costs no request.
func (c *Client) Resolve(ctx context.Context, ref name.Reference) (name.Digest, error) {
	if digest, ok := ref.(name.Digest); ok {
		return digest, nil
	}
	descriptor, err := c.Head(ctx, ref)
	if err != nil {
		return name.Digest{}, fmt.Errorf("resolve %s: %w", ref, err)
	}
	return ref.Context().Digest(descriptor.Digest.String()), nil
}

// Exists asks whether the manifest of a digest is there. The error is a
// *NotFoundError where the registry says that it is not.
func (c *Client) Exists(ctx context.Context, digest name.Digest) error {
	if _, err := c.Head(ctx, digest); err != nil {
		return fmt.Errorf("look up %s: %w", digest, err)
	}
	return nil
}

// Head asks for a manifest's descriptor.
func (c *Client) Head(ctx context.Context, ref name.Reference) (*v1.Descriptor, error) {
	var descriptor *v1.Descriptor
	err := c.request(ctx, "look up "+ref.String(), ref.Context(), transport.PullScope, func(o []remote.Option) (err error) {
		descriptor, err = remote.Head(ref, o...)
		// Some registries answer HEAD without the headers that it is for.
		if err != nil && !isStatus(err) && !isTrouble(err) && ctx.Err() == nil {
			var got *remote.Descriptor
			if got, err = remote.Get(ref, o...); err == nil {
				descriptor = &got.Descriptor
			}
		}
		return missing(ref, err)
	})
	return descriptor, err
}

// Manifest gets a manifest's bytes and descriptor.
func (c *Client) Manifest(ctx context.Context, ref name.Reference) (raw []byte, descriptor v1.Descriptor, err error) {
	err = c.request(ctx, "get "+ref.String(), ref.Context(), transport.PullScope, func(o []remote.Option) error {
		got, err := remote.Get(ref, o...)
		if err != nil {
			return missing(ref, err)
		}
		raw, descriptor = got.Manifest, got.Descriptor
		return nil
	})
	return raw, descriptor, err
}

// Image gets the image of platform behind ref. Its layers are read when they
// are pushed, or mounted where the target's registry is the same.
func (c *Client) Image(ctx context.Context, ref name.Reference, platform v1.Platform) (v1.Image, error) {
	var img v1.Image
	err := c.request(ctx, "get "+ref.String(), ref.Context(), transport.PullScope, func(o []remote.Option) (err error) {
		img, err = remote.Image(ref, append(o, remote.WithPlatform(platform))...)
		if err == nil {
			_, err = img.ConfigFile() // read now, while it is retried
		}
		return missing(ref, err)
	})
	return img, err
}

// Resolve is Client.Resolve for who asks once.
func Resolve(ctx context.Context, ref name.Reference, options Options) (name.Digest, error) {
	return New(options).Resolve(ctx, ref)
}

// NotFoundError is a manifest that the registry does not have.
type NotFoundError struct{ Reference name.Reference }

func (e *NotFoundError) Error() string { return e.Reference.String() + " is not in its registry" }

// Next is what a person can do about it.
func (e *NotFoundError) Next() string {
	return "check the name, and that it was pushed; where it is private, give the registry's credentials"
}

// IsNotFound says whether err is about a manifest that is not there.
func IsNotFound(err error) bool {
	var e *NotFoundError
	return errors.As(err, &e)
}

// IsRefused says whether a registry understood a request and does not do it,
// for a reason that neither time nor other credentials heal: a kind of manifest
// that it does not take, a tag that may not move, a method that it has not.
func IsRefused(err error) bool {
	var status *transport.Error
	return errors.As(err, &status) && status.StatusCode >= 400 && status.StatusCode < 500 &&
		status.StatusCode != http.StatusUnauthorized && !troubleStatus(status)
}

// missing tells "not there" from what else a registry may answer.
func missing(ref name.Reference, err error) error {
	var status *transport.Error
	if errors.As(err, &status) && status.StatusCode == http.StatusNotFound {
		return &NotFoundError{ref}
	}
	return err
}

func isStatus(err error) bool {
	var status *transport.Error
	return errors.As(err, &status)
}
