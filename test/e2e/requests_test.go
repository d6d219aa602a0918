package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fibership/fibership/test/kill"
)

// many is the service with others around it: n objects in all.
func many(n int, text string) string {
	var b strings.Builder
	b.WriteString(manifest)
	for i := range n - strings.Count(manifest, "\nkind: ") {
		switch i % 5 {
		case 0, 1, 2:
			fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-%d}\ndata: {text: %q}\n", i, text)
		case 3:
			fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: secret-%d}\nstringData: {text: %q}\n", i, text)
		default:
			fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: account-%d, annotations: {text: %q}}\n", i, text)
		}
	}
	return b.String()
}

// The longer a deploy takes the oftener it renews its lock, so this one does not
// share the machine.
func TestDeploy_boundsItsRequests(t *testing.T) {
	p := newPlaceAlone(t)
	p.timeout = "3m"
	image := p.image("1")
	count := func(text, status string) []string {
		t.Helper()
		p.file("web.yaml", strings.ReplaceAll(many(500, text), `"hello"`, `"`+text+`"`))
		proxy, err := kill.StartProxy(p.Client.REST, kill.Point{})
		if err != nil {
			t.Fatal(err)
		}
		defer proxy.Close()
		if p.kubeconfig, err = proxy.Kubeconfig(); err != nil {
			t.Fatal(err)
		}
		o := p.deploy(image, map[string]string{"manifests": "web.yaml"})
		outputs(t, o, map[string]string{"status": status})
		return proxy.Seen()
	}
	for _, c := range []struct {
		text, status string
		most         int
	}{
		{"one", "succeeded", 550}, {"one", "unchanged", 30}, {"two", "succeeded", 550},
	} {
		seen := count(c.text, c.status)
		t.Logf("%s, %s: %d requests", c.text, c.status, len(seen))
		if len(seen) > c.most {
			t.Errorf("%d requests for 500 objects that are %s, want at most %d:\n%s", len(seen), c.status, c.most, strings.Join(others(seen), "\n"))
		}
	}
}

// others is the requests that are not the applying of an object.
func others(seen []string) []string {
	var rest []string
	for _, request := range seen {
		if !strings.HasPrefix(request, "PATCH ") {
			rest = append(rest, request)
		}
	}
	return rest
}
