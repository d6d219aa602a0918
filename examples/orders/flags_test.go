package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/fibership/orders/internal/orders"
)

const flagsFile = "FLAGD_OFFLINE_FLAG_SOURCE_PATH"

const flagFile = `{"flags": {"new-checkout": {
  "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
  "targeting": {"fractional": [["on", %d], ["off", %d]]}}}}`

// configMap is a mounted ConfigMap: the file is a link through ..data, which the kubelet
// turns to a new folder before it removes the old one.
type configMap struct {
	dir     string
	version int
}

func (m *configMap) file() string { return filepath.Join(m.dir, "flags.json") }

func (m *configMap) update(t *testing.T, content string) {
	t.Helper()
	old := fmt.Sprintf("..%d", m.version)
	m.version++
	next := fmt.Sprintf("..%d", m.version)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(m.dir, next), 0o700))
	must(os.WriteFile(filepath.Join(m.dir, next, "flags.json"), []byte(content), 0o600))
	must(os.Symlink(next, filepath.Join(m.dir, "..data_tmp")))
	must(os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	if m.version == 1 {
		must(os.Symlink("..data/flags.json", m.file()))
		return
	}
	must(os.RemoveAll(filepath.Join(m.dir, old)))
}

// share counts how many of 1,000 customers have the express checkout.
func (l *live) share(ctx context.Context) (express int) {
	for n := range 1000 {
		if l.flags.express(ctx, fmt.Sprintf("customer-%d", n)) {
			express++
		}
	}
	return express
}

func TestFlags_followAConfigMapWithoutARestart(t *testing.T) {
	var flags configMap
	flags.dir = t.TempDir()
	flags.update(t, fmt.Sprintf(flagFile, 0, 100))
	l := runService(t, testService(t, map[string]string{flagsFile: flags.file()}))

	if got := l.share(t.Context()); got != 0 {
		t.Errorf("0%%: %d of 1000 customers", got)
	}
	for _, step := range []struct{ percent, least, most int }{{25, 190, 310}, {100, 1000, 1000}, {5, 20, 90}, {0, 0, 0}} {
		flags.update(t, fmt.Sprintf(flagFile, step.percent, 100-step.percent))
		until(t, fmt.Sprintf("%d%% of the customers are in", step.percent), func() bool {
			got := l.share(t.Context())
			return got >= step.least && got <= step.most
		})
	}

	flags.update(t, fmt.Sprintf(flagFile, 100, 0))
	until(t, "an order is taken by express checkout", func() bool {
		var order orders.Order
		l.call(t, "POST", "/orders", twoTeas).decode(t, &order)
		return order.Checkout == orders.Express && order.Total == 504
	})
	if page := l.call(t, "GET", "/?customer=ada", ""); !strings.Contains(page.body, "Express checkout") {
		t.Error("the page does not show the express checkout")
	}
}

func TestFlags_giveACustomerTheSameAnswerEveryTime(t *testing.T) {
	var flags configMap
	flags.dir = t.TempDir()
	flags.update(t, fmt.Sprintf(flagFile, 50, 50))
	l := runService(t, testService(t, map[string]string{flagsFile: flags.file()}))
	for n := range 50 {
		key := fmt.Sprintf("customer-%d", n)
		first := l.flags.express(t.Context(), key)
		for range 5 {
			if l.flags.express(t.Context(), key) != first {
				t.Fatalf("%s is on both sides", key)
			}
		}
	}
}

func TestFlags_staysWithTheLastGoodFile(t *testing.T) {
	var flags configMap
	flags.dir = t.TempDir()
	flags.update(t, fmt.Sprintf(flagFile, 100, 0))
	l := runService(t, testService(t, map[string]string{flagsFile: flags.file()}))
	refused := make(chan string, 9)
	heard := func(e openfeature.EventDetails) { refused <- e.Message }
	openfeature.AddHandler(openfeature.ProviderError, &heard)
	for _, broken := range []string{`{"flags": {`, `{"flags": {"new-checkout": 7}}`} {
		flags.update(t, broken)
		select {
		case <-refused:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s was not refused", broken)
		}
		if !l.flags.express(t.Context(), "ada") {
			t.Errorf("%s closed the flag", broken)
		}
	}
	flags.update(t, fmt.Sprintf(flagFile, 0, 100))
	until(t, "the next good file is read", func() bool { return !l.flags.express(t.Context(), "ada") })
}

func TestFlags_areClosedWithoutAFile(t *testing.T) {
	l := runService(t, testService(t, nil))
	if got := l.share(t.Context()); got != 0 {
		t.Errorf("%d of 1000 customers have the express checkout", got)
	}
}

func TestFlags_areClosedWhereTheFileIsMissing(t *testing.T) {
	l := runService(t, testService(t, map[string]string{flagsFile: filepath.Join(t.TempDir(), "flags.json")}))
	if got := l.share(t.Context()); got != 0 {
		t.Errorf("%d of 1000 customers have the express checkout", got)
	}
}

func TestFlags_unreadableAtTheStartAreAnError(t *testing.T) {
	_, err := openFlags(t.Context(), testConfig(t, map[string]string{flagsFile: t.TempDir()})) // a folder
	if err == nil || !strings.Contains(err.Error(), "read the flag file") {
		t.Errorf("a folder gave %v", err)
	}
}

// checkoutOf asks as a user, named in the header.
func (l *live) checkoutOf(t *testing.T, user, query string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.base+"/checkout"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(customerHeader, user)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(text)}
}

func TestFlags_decideByTheHeaderThenByTheCustomer(t *testing.T) {
	var flags configMap
	flags.dir = t.TempDir()
	flags.update(t, `{"flags": {"payment": {"state": "ENABLED", "variants": {"house": "house", "fast": "fast", "faulty": "faulty"}, "defaultVariant": "house",
		"targeting": {"if": [{"==": [{"var": "targetingKey"}, "ada"]}, "fast", {"==": [{"var": "targetingKey"}, "eve"]}, "faulty", null]}}}}`)
	l := runService(t, testService(t, map[string]string{flagsFile: flags.file()}))
	for _, c := range []struct {
		user, query string
		status      int
		body        string
	}{
		{"ada", "", 200, `"payment":"fast"`},
		{"ada", "?customer=eve", 200, `"payment":"fast"`},
		{"", "?customer=ada", 200, `"payment":"fast"`},
		{"", "", 200, `"payment":"house"`},
		{"eve", "", 500, "internal error"},
	} {
		got := l.checkoutOf(t, c.user, c.query)
		if got.StatusCode != c.status || !strings.Contains(got.body, c.body) {
			t.Errorf("%+v: %d %s", c, got.StatusCode, got.body)
		}
	}
	if got := l.call(t, "POST", "/orders", strings.Replace(twoTeas, "ada", "eve", 1)); got.StatusCode != 500 {
		t.Errorf("the faulty provider took an order: %d %s", got.StatusCode, got.body)
	}
}
