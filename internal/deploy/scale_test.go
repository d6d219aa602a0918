package deploy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
)

func TestAutoscaled_takesOnlyForbiddenAndUnknownForNone(t *testing.T) {
	t.Parallel()
	for status, known := range map[int]bool{http.StatusForbidden: true, http.StatusNotFound: true, http.StatusBadRequest: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": %d, "reason": %q}`, status,
				map[int]string{http.StatusForbidden: "Forbidden", http.StatusNotFound: "NotFound", http.StatusBadRequest: "BadRequest"}[status])
		}))
		t.Cleanup(server.Close)
		client, err := cluster.New(&rest.Config{Host: server.URL}, "test")
		if err != nil {
			t.Fatal(err)
		}
		s := &Session{Target: Target{Namespace: "staging", Cluster: client}}
		found, err := s.autoscaled(t.Context())
		if known != (err == nil) || len(found) != 0 {
			t.Errorf("status %d: %v, %v", status, found, err)
		}
	}
}
