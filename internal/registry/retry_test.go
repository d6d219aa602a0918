package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func TestIsTrouble_knowsWhatPassesByItself(t *testing.T) {
	status := func(method, path string, code int) error {
		return fmt.Errorf("push: %w", &transport.Error{StatusCode: code, Request: &http.Request{Method: method, URL: &url.URL{Path: path}}})
	}
	request := func(err error) error { return &url.Error{Op: "Put", URL: "https://registry.example", Err: err} }
	const upload = "/v2/acme/orders/blobs/uploads/1"
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"overloaded":                   {status("PUT", "/v2/", 503), true},
		"too many requests":            {status("GET", "/v2/", 429), true},
		"upload that is forgotten":     {status("PATCH", upload, 404), true},
		"upload of another size":       {status("PUT", upload, 416), true},
		"upload to another place":      {status("PUT", "/artifacts-uploads/1", 404), true},
		"upload that stalls":           {request(errStalled), true},
		"manifest that is not there":   {status("GET", "/v2/acme/orders/manifests/v1", 404), false},
		"repository that is not there": {status("POST", "/v2/acme/orders/blobs/uploads/", 404), false},
		"wrong password":               {status("GET", "/v2/", 401), false},
		"manifest that is refused":     {status("PUT", "/v2/acme/orders/manifests/v1", 400), false},
		"reset":                        {request(syscall.ECONNRESET), true},
		"refused":                      {request(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), true},
		"broken off":                   {io.ErrUnexpectedEOF, true},
		"name server in trouble":       {request(&net.DNSError{IsTemporary: true}), true},
		"no such host":                 {request(&net.DNSError{IsNotFound: true}), false},
		"unknown certificate":          {request(x509.UnknownAuthorityError{}), false},
		"cancelled":                    {request(context.Canceled), false},
		"not of the network":           {errors.New("disk full"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isTrouble(c.err); got != c.want {
				t.Errorf("%v: %v", c.err, got)
			}
		})
	}
}

func TestRetryAfter_readsSecondsAndDates(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "999999999": time.Hour,
		"Thu, 01 Jan 2026 00:00:30 GMT": 30 * time.Second, "Thu, 01 Jan 2025 00:00:30 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}
