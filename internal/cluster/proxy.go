package cluster

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ServiceURL is the way to a port of a service through the API server. Paths
// are joined to the URL; the credentials go to the API server, which keeps
// them. The client follows no redirect (a service could lead it elsewhere),
// repeats nothing and has no time limit but that of a request's context.
// Bodies are as long as the service likes: callers bound them.
func (c *Client) ServiceURL(namespace, service string, port int) (*http.Client, *url.URL, error) {
	return c.through(namespace, "services", service, port)
}

// PodURL is the same for a port of one pod.
func (c *Client) PodURL(namespace, pod string, port int) (*http.Client, *url.URL, error) {
	return c.through(namespace, "pods", pod, port)
}

func (c *Client) through(namespace, resource, name string, port int) (*http.Client, *url.URL, error) {
	for _, part := range []string{namespace, name} {
		if problems := validation.IsDNS1123Subdomain(part); len(problems) > 0 {
			return nil, nil, fmt.Errorf("%q is no name of an object: %s", part, strings.Join(problems, "; "))
		}
	}
	if problems := validation.IsValidPortNum(port); len(problems) > 0 {
		return nil, nil, fmt.Errorf("port %d: %s", port, strings.Join(problems, "; "))
	}
	base := c.base.JoinPath("api", "v1", "namespaces", namespace, resource, fmt.Sprintf("%s:%d", name, port), "proxy")
	base.Path = "/" + strings.TrimPrefix(base.Path, "/") // relative where the server's URL has no path
	client := &http.Client{
		Transport:     pinned{next: c.http.Transport, base: base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client, base, nil
}

// pinned sends only what lies under base: the transport behind it adds
// credentials to whatever it is given.
type pinned struct {
	next http.RoundTripper
	base *url.URL
}

func (p pinned) RoundTrip(req *http.Request) (*http.Response, error) {
	within := req.URL.Path == p.base.Path || strings.HasPrefix(req.URL.Path, p.base.Path+"/")
	if req.URL.Scheme != p.base.Scheme || req.URL.Host != p.base.Host || !within || strings.Contains(req.URL.Path+"/", "/../") {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("request to %s%s: it leaves the service", req.URL.Host, req.URL.Path)
	}
	return p.next.RoundTrip(req)
}
