package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// What may become of a patch.
const (
	refused   = "refused"   // not done: the storage changes its leader
	lost      = "lost"      // done, and the connection cut before the answer
	forbidden = "forbidden" // not done, and never will be
)

// shaky is an API server that has one HTTPRoute of one rule.
type shaky struct {
	refs     any      // the rule's backendRefs, as JSON decodes them
	troubles []string // of the first patches
	patches  int
}

// discovery is what it says of the kinds that it serves.
var discovery = map[string]string{
	"/api":    `{"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}`,
	"/api/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": []}`,
	"/apis": `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "gateway.networking.k8s.io",
		"versions": [{"groupVersion": "gateway.networking.k8s.io/v1", "version": "v1"}],
		"preferredVersion": {"groupVersion": "gateway.networking.k8s.io/v1", "version": "v1"}}]}`,
	"/apis/gateway.networking.k8s.io/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "gateway.networking.k8s.io/v1",
		"resources": [{"name": "httproutes", "singularName": "httproute", "namespaced": true, "kind": "HTTPRoute", "verbs": ["get", "patch"]}]}`,
}

func (s *shaky) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case discovery[req.URL.Path] != "":
		return answered(req, http.StatusOK, discovery[req.URL.Path]), nil
	case req.Method != http.MethodPatch:
		return answered(req, http.StatusOK, s.route()), nil
	}
	s.patches++
	trouble := ""
	if s.patches <= len(s.troubles) {
		trouble = s.troubles[s.patches-1]
	}
	switch trouble {
	case refused:
		return failed(req, http.StatusInternalServerError, "InternalError", "etcdserver: leader changed"), nil
	case forbidden:
		return failed(req, http.StatusForbidden, "Forbidden", "no"), nil
	}
	var operations []cluster.Operation
	if err := json.NewDecoder(req.Body).Decode(&operations); err != nil {
		return nil, err
	}
	if !s.patch(operations) {
		return failed(req, http.StatusUnprocessableEntity, "Invalid", "the server rejected our request due to an error in our request"), nil
	}
	if trouble == lost {
		return nil, io.ErrUnexpectedEOF
	}
	return answered(req, http.StatusOK, s.route()), nil
}

// patch does all operations, or none where a test does not hold.
func (s *shaky) patch(operations []cluster.Operation) bool {
	refs := s.refs
	for _, o := range operations {
		var value any
		if o.Path != "/spec/rules/0/backendRefs" || json.Unmarshal(o.Value, &value) != nil {
			return false
		}
		if o.Op == "test" && !reflect.DeepEqual(value, refs) {
			return false
		}
		if o.Op == "replace" {
			refs = value
		}
	}
	s.refs = refs
	return true
}

func (s *shaky) route() string {
	text, err := json.Marshal(map[string]any{
		"apiVersion": routeGroup + "/v1", "kind": routeKind, "metadata": map[string]any{"name": "web", "namespace": "production"},
		"spec": map[string]any{"rules": []any{map[string]any{"backendRefs": s.refs}}},
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// weights reads "web 90, web-canary 10".
func (s *shaky) weights(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(s.refs)
	if err != nil {
		t.Fatal(err)
	}
	list, err := backends(text)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, b := range list {
		all = append(all, fmt.Sprintf("%s %d", b.text("name"), b.weight()))
	}
	return strings.Join(all, ", ")
}

func answered(req *http.Request, code int, body string) *http.Response {
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(body)),
	}
}

func failed(req *http.Request, code int, reason, message string) *http.Response {
	return answered(req, code, fmt.Sprintf(`{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": %d, "reason": %q, "message": %q}`, code, reason, message))
}

// alone is a rule's backends before anything is steered.
const alone = `[{"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 1}]`

// shaken is a gateway before an API server that is in trouble at the first patches.
func shaken(t *testing.T, troubles ...string) (*shaky, *Gateway) {
	t.Helper()
	s := &shaky{troubles: troubles}
	if err := json.Unmarshal([]byte(alone), &s.refs); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(&rest.Config{Host: "http://api", Transport: s}, "test")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gateway{versions: versions{cluster: c}, names: web}
	g.steered.Route = &release.Route{
		Namespace: "production", Name: "web", Service: "web", Within: "production", Canary: "web-canary",
		Rules: []release.Rule{{Was: json.RawMessage(alone)}},
	}
	return s, g
}

func unnoted(context.Context, release.Steered) error { return nil }

func TestGateway_ridesOutTroubleAtAPatch(t *testing.T) {
	for name, troubles := range map[string][]string{
		"none":                 nil,
		"refused":              {refused},
		"refused for a while":  slices.Repeat([]string{refused}, 20),
		"an answer lost":       {lost},
		"refused, then a loss": {refused, lost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, g := shaken(t, troubles...)
				for _, weight := range []int{10, 50} {
					s.patches = 0
					if err := g.shift(t.Context(), weight, unnoted); err != nil {
						t.Fatalf("shift to %d%%: %v", weight, err)
					}
					if got, want := s.weights(t), fmt.Sprintf("web %d, web-canary %d", 100-weight, weight); got != want {
						t.Errorf("the route has %s, want %s", got, want)
					}
				}
				s.patches = 0
				if err := Back(t.Context(), g.cluster, *g.steered.Route, false, progress.Discard); err != nil {
					t.Fatal(err)
				}
				if got := s.weights(t); got != "web 1" {
					t.Errorf("led back, the route has %s", got)
				}
			})
		})
	}
}

func TestBack_endsWhereTroubleDoesNot(t *testing.T) {
	for name, c := range map[string]struct {
		trouble     string
		least, most time.Duration
	}{
		"trouble without an end": {refused, patchWithin, patchWithin + time.Second},
		"no right to patch":      {forbidden, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, g := shaken(t)
				if err := g.shift(t.Context(), 50, unnoted); err != nil {
					t.Fatal(err)
				}
				s.troubles = slices.Repeat([]string{c.trouble}, 1000)
				begun := time.Now()
				err := Back(t.Context(), g.cluster, *g.steered.Route, false, progress.Discard)
				if took := time.Since(begun); err == nil || took < c.least || took > c.most {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

func TestBack_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, g := shaken(t)
		if err := g.shift(t.Context(), 50, unnoted); err != nil {
			t.Fatal(err)
		}
		s.troubles = slices.Repeat([]string{refused}, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if err := Back(ctx, g.cluster, *g.steered.Route, false, progress.Discard); err == nil || time.Since(begun) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}
