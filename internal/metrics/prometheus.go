package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/fibership/fibership/internal/progress"
)

// Server is a Prometheus, or what speaks its API. All that it answers is
// taken for hostile: answers are bounded in size and time, and no redirect is
// followed.
type Server struct {
	api      v1.API
	patience time.Duration // that one question may take
	step     time.Duration
	says     *once
	pace     pace
}

// ServiceReacher finds the way to a service's port; *cluster.Client does.
type ServiceReacher interface {
	ServiceURL(namespace, service string, port int) (*http.Client, *url.URL, error)
}

// ParseServerURL reads http://host:port/path, without credentials, query or
// fragment.
func ParseServerURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("expected the URL of a Prometheus, http:// or https://")
	case u.User != nil:
		return nil, errors.New("expected a URL without credentials: give a token as prometheus-token")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("expected a URL without query and fragment: the API's paths are added to it")
	}
	return u, nil
}

// NewServer is the Prometheus at a URL. One of a service in the cluster
// (http://name.namespace.svc:port) is reached through the API server, so
// nothing has to be open; the API server keeps an Authorization header for
// itself, so where there is a token the way is direct. The token (may be
// empty) goes to this host alone. step is the shortest time that will be
// judged by; log is told where the server scrapes too rarely for it.
func NewServer(at *url.URL, token string, through ServiceReacher, step time.Duration, log progress.Log) (*Server, error) {
	d := door{base: at, token: token, client: direct()}
	if service, namespace, port, ok := serviceOf(at); ok && token == "" {
		client, base, err := through.ServiceURL(namespace, service, port)
		if err != nil {
			return nil, err
		}
		d.client, d.base = client, base.JoinPath(at.EscapedPath())
	}
	return &Server{api: v1.NewAPI(d), patience: askPatience, step: step, says: &once{log: log}}, nil
}

// serviceOf takes http://name.namespace.svc apart, with or without the
// cluster's domain.
func serviceOf(u *url.URL) (service, namespace string, port int, ok bool) {
	parts := strings.Split(u.Hostname(), ".")
	if u.Scheme != "http" || len(parts) < 3 || parts[2] != "svc" {
		return "", "", 0, false
	}
	port = 80
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil {
			return "", "", 0, false
		}
		port = n
	}
	return parts[0], parts[1], port, true
}

func direct() *http.Client {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSHandshakeTimeout: askPatience,
		MaxIdleConnsPerHost: atOnce,
		IdleConnTimeout:     time.Minute,
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

const askPatience = 10 * time.Second // for one question

// ask gives the answer to an instant query, as of now by the server's clock.
func (s *Server) ask(ctx context.Context, promql string) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	value, _, err := s.api.Query(ctx, promql, time.Time{}, v1.WithTimeout(s.patience))
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", plainly(err))
	}
	return value, nil
}

// plainly leaves out what a URL with a whole query in it does not tell, and
// bounds what the server can say.
func plainly(err error) error {
	if ours, ok := errors.AsType[*doorError](err); ok {
		return ours.Err
	}
	if told, ok := errors.AsType[*v1.Error](err); ok {
		told.Msg, told.Detail = clip(told.Msg), clip(told.Detail)
		if told.Detail != "" {
			return fmt.Errorf("%w: %s", told, told.Detail)
		}
		return told
	}
	return fmt.Errorf("the answer is none of Prometheus': %s", clip(err.Error()))
}

func clip(text string) string {
	const most = 200
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// Check asks whether a Prometheus is there and takes the queries, before
// anything depends on it. Where a query says nothing, Check says nothing.
func (s *Server) Check(ctx context.Context, queries []string) error {
	if _, err := s.ask(ctx, "vector(1)"); err != nil {
		return err
	}
	for _, q := range queries {
		filled, err := fill(q, placeholders{service: "service", namespace: "namespace", version: "version", window: time.Minute})
		if err != nil {
			return err
		}
		_, err = s.ask(ctx, filled)
		if told, ok := errors.AsType[*v1.Error](err); ok && told.Type == v1.ErrBadData {
			return fmt.Errorf("query(%q): %w", q, err)
		}
	}
	return nil
}

// door is the HTTP side of the API's client: it bounds answers, adds the
// token and asks with GET alone (through the API server, POST is another
// right).
type door struct {
	client *http.Client
	base   *url.URL
	token  string
}

// URL joins an endpoint to the server's.
func (d door) URL(endpoint string, args map[string]string) *url.URL {
	for name, value := range args {
		endpoint = strings.ReplaceAll(endpoint, ":"+name, value)
	}
	return d.base.JoinPath(endpoint)
}

// doorError is what went wrong before there was an answer to understand.
type doorError struct{ Err error }

func (e *doorError) Error() string { return e.Err.Error() }
func (e *doorError) Unwrap() error { return e.Err }

// Do sends the request and reads the answer.
func (d door) Do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	resp, body, err := d.do(ctx, req)
	if err != nil {
		return nil, nil, &doorError{err}
	}
	return resp, body, nil
}

// halfPair is a sample without its value, which the API's client takes for 0.
var halfPair = regexp.MustCompile(`"value":\s*\[[^\[\],"]*\]`)

func (d door) do(ctx context.Context, req *http.Request) (*http.Response, []byte, error) {
	to := *req.URL
	if req.Body != nil {
		form, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, nil, err
		}
		to.RawQuery = string(form)
	}
	asked, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody) //nolint:gosec // asking the user's server is its purpose
	if err != nil {
		return nil, nil, err
	}
	asked.Header.Set("Accept", "application/json")
	if d.token != "" {
		asked.Header.Set("Authorization", "Bearer "+d.token)
	}
	resp, err := d.client.Do(asked) //nolint:gosec // likewise
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL and the query in it
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	status, proxied := fromProxy(resp, body)
	switch {
	case len(body) > mostBytes:
		return nil, nil, fmt.Errorf("the answer is longer than %d MiB", mostBytes>>20)
	case resp.StatusCode/100 == 3:
		return nil, nil, fmt.Errorf("status %d leads to another address (%s), which is not followed: give that one", resp.StatusCode, clip(resp.Header.Get("Location")))
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, nil, errors.New("status 401: it wants another prometheus-token")
	case halfPair.Match(body):
		return nil, nil, errors.New("the answer is none of Prometheus': a sample has no value")
	case proxied:
		return nil, nil, fmt.Errorf("status %d: %s", resp.StatusCode, clip(status.Message))
	}
	return resp, body, nil
}
