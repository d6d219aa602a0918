package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fibership/orders/internal/orders"
)

func TestAPI_keepsAndShowsAnOrder(t *testing.T) {
	l := runService(t, testService(t, nil))

	created := l.call(t, "POST", "/orders", twoTeas)
	if created.StatusCode != http.StatusCreated {
		t.Fatalf("POST /orders: %s: %s", created.Status, created.body)
	}
	var order orders.Order
	created.decode(t, &order)
	if order.Total != 560 || order.Checkout != orders.Classic {
		t.Errorf("created %+v, want 560 cents by classic checkout", order)
	}
	if shown := l.call(t, "GET", created.Header.Get("Location"), ""); shown.body != created.body {
		t.Errorf("GET %s gave %s, want %s", created.Header.Get("Location"), shown.body, created.body)
	}
	var list struct{ Orders []orders.Order }
	l.call(t, "GET", "/orders?limit=5", "").decode(t, &list)
	if len(list.Orders) != 1 || list.Orders[0].ID != order.ID {
		t.Errorf("GET /orders gave %+v, want just %s", list.Orders, order.ID)
	}
}

func TestAPI_saysWhatIsWrong(t *testing.T) {
	l := runService(t, testService(t, nil))
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"no order":       {"POST", "/orders", "", 400, "body is empty"},
		"no JSON":        {"POST", "/orders", "tea, please", 400, "no order in JSON"},
		"two values":     {"POST", "/orders", twoTeas + "{}", 400, "more than one JSON value"},
		"unknown field":  {"POST", "/orders", `{"custmer":"ada"}`, 400, "custmer"},
		"invalid":        {"POST", "/orders", `{"customer":"ada","items":[{"sku":"gold","quantity":1}]}`, 422, "items[0].sku"},
		"bad limit":      {"GET", "/orders?limit=0", "", 400, "between 1 and 100"},
		"no such order":  {"GET", "/orders/nope", "", 404, "no such order"},
		"no such path":   {"GET", "/nowhere", "", 404, "Not Found"},
		"no such method": {"DELETE", "/orders", "", 405, "Method Not Allowed"},
		"outside public": {"GET", "/public/..%2fgo.mod", "", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := l.call(t, tc.method, tc.path, tc.body)
			if got.StatusCode != tc.status || !strings.Contains(got.body, tc.says) {
				t.Errorf("%s: %s, want %d saying %q", got.Status, got.body, tc.status, tc.says)
			}
			if ct := got.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestAPI_keepsInnerTroubleInside(t *testing.T) {
	s := testService(t, nil)
	s.store = brokenStore{}
	l := runService(t, s)
	for _, path := range []string{"/orders", "/orders/1"} { // an error, a panic
		got := l.call(t, "GET", path, "")
		if got.StatusCode != http.StatusInternalServerError || strings.Contains(got.body, "secret") || strings.Contains(got.body, "pointer") {
			t.Errorf("GET %s: %s: %s", path, got.Status, got.body)
		}
	}
}

func TestRequestID_isTakenOverOrMade(t *testing.T) {
	l := runService(t, testService(t, nil))
	for given, kept := range map[string]bool{"from-the-proxy": true, "": false, strings.Repeat("x", 129): false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.base+"/version", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Request-Id", given)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("X-Request-Id"); got == "" || (got == given) != kept {
			t.Errorf("given %q, got %q", given, got)
		}
	}
}

func TestVersion_namesReleaseAndPod(t *testing.T) {
	l := runService(t, testService(t, nil))
	var got map[string]string
	l.call(t, "GET", "/version", "").decode(t, &got)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"service": "orders", "release": release, "version": version, "stage": "development", "pod": host} {
		if got[key] != want || want == "" {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestPage_showsGreetingAndReleaseSafely(t *testing.T) {
	l := runService(t, testService(t, map[string]string{"GREETING": "<b>Hello</b>"}))
	page := l.call(t, "GET", "/", "")
	for _, want := range []string{"&lt;b&gt;Hello&lt;/b&gt;", "release " + release, "Classic checkout"} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestPublic_comesFromTheBinaryOrAFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "style.css"), []byte("/* from the folder */"), 0o600); err != nil {
		t.Fatal(err)
	}
	embeddedCSS, err := embedded.ReadFile("public/style.css")
	if err != nil {
		t.Fatal(err)
	}
	for public, want := range map[string]string{"": string(embeddedCSS), dir: "/* from the folder */"} {
		l := runService(t, testService(t, map[string]string{"PUBLIC_DIR": public}))
		got := l.call(t, "GET", "/public/style.css", "")
		if got.body != want || got.Header.Get("Last-Modified") != "" {
			t.Errorf("PUBLIC_DIR=%q: %s %v: %.40s", public, got.Status, got.Header, got.body)
		}
	}
}

func TestMetrics_countCustomersByOpenTelemetrysNames(t *testing.T) {
	l := runService(t, testService(t, nil))
	l.call(t, "POST", "/orders", twoTeas)
	l.call(t, "GET", "/orders/1", "")
	l.call(t, "GET", "/orders/2", "")
	l.call(t, "GET", "/nowhere", "")
	l.call(t, "GET", "/readyz", "")

	metrics := l.call(t, "GET", "/metrics", "")
	if ct := metrics.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Errorf("content type %q is not the text format", ct)
	}
	for _, tc := range []struct {
		method, route string
		status, count int
	}{
		{"POST", "/orders", 201, 1}, {"GET", "/orders/:id", 404, 2}, {"GET", "", 404, 1},
	} {
		labels := fmt.Sprintf(`{http_request_method="%s",http_response_status_code="%d",http_route="%s"`, tc.method, tc.status, tc.route)
		for _, want := range []string{
			fmt.Sprintf("http_server_request_duration_seconds_count%s} %d\n", labels, tc.count),
			fmt.Sprintf("http_server_request_duration_seconds_bucket%s,le=\"10\"} %d\n", labels, tc.count),
		} {
			if !strings.Contains(metrics.body, want) {
				t.Errorf("no line %s", want)
			}
		}
	}
	for _, probe := range []string{"/readyz", "/metrics", "/nowhere"} {
		if strings.Contains(metrics.body, probe) {
			t.Errorf("%s is among the metrics", probe)
		}
	}
}
