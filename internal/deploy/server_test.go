package deploy

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// keeper is an API server that keeps what it is given, by its path, and
// understands nothing of it.
type keeper struct {
	mu      sync.Mutex
	objects map[string]map[string]any
	version int
	cut     time.Time // until when the connection of every write is cut
}

// kindsKept is what it says of the kinds that it serves.
var kindsKept = map[string]string{
	"/api":          `{"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}`,
	"/api/v1":       `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [{"name": "secrets", "singularName": "secret", "namespaced": true, "kind": "Secret", "verbs": ["get"]}, {"name": "configmaps", "singularName": "configmap", "namespaced": true, "kind": "ConfigMap", "verbs": ["get"]}]}`,
	"/apis":         `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "apps", "versions": [{"groupVersion": "apps/v1", "version": "v1"}], "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}]}`,
	"/apis/apps/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [{"name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment", "verbs": ["get"]}]}`,
}

// listsKept is the kinds of its lists, by the last part of their paths.
var listsKept = map[string]string{
	"secrets": "SecretList", "configmaps": "ConfigMapList", "horizontalpodautoscalers": "HorizontalPodAutoscalerList",
}

func (k *keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	path := req.URL.Path
	if text, ok := kindsKept[path]; ok {
		return k.answer(req, http.StatusOK, json.RawMessage(text))
	}
	if req.Method == http.MethodGet {
		return k.get(req, path)
	}
	if time.Now().Before(k.cut) {
		return nil, io.ErrUnexpectedEOF
	}
	var object map[string]any
	if err := json.NewDecoder(req.Body).Decode(&object); err != nil {
		return nil, err
	}
	switch there := k.objects[path]; req.Method {
	case http.MethodPost:
		path += "/" + metadata(object, "name")
		if k.objects[path] != nil {
			return k.refuse(req, http.StatusConflict, metav1.StatusReasonAlreadyExists)
		}
	case http.MethodPut:
		if there == nil {
			return k.refuse(req, http.StatusNotFound, metav1.StatusReasonNotFound)
		}
		if version := metadata(object, "resourceVersion"); version != "" && version != metadata(there, "resourceVersion") {
			return k.refuse(req, http.StatusConflict, metav1.StatusReasonConflict)
		}
	}
	return k.answer(req, http.StatusOK, k.keep(path, object))
}

func (k *keeper) get(req *http.Request, path string) (*http.Response, error) {
	if object := k.objects[path]; object != nil {
		return k.answer(req, http.StatusOK, object)
	}
	version, plural, _ := strings.Cut(path, "/namespaces/production/")
	kind, ok := listsKept[plural]
	if !ok {
		return k.refuse(req, http.StatusNotFound, metav1.StatusReasonNotFound)
	}
	selector, err := labels.Parse(req.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, err
	}
	items := []any{}
	for at, object := range k.objects {
		theirs, _, _ := unstructured.NestedStringMap(object, "metadata", "labels")
		if strings.HasPrefix(at, path+"/") && selector.Matches(labels.Set(theirs)) {
			items = append(items, object)
		}
	}
	version = strings.TrimPrefix(strings.TrimPrefix(version, "/apis/"), "/api/")
	return k.answer(req, http.StatusOK, map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]any{}, "items": items})
}

func (k *keeper) keep(path string, object map[string]any) map[string]any {
	k.version++
	meta, _ := object["metadata"].(map[string]any)
	meta["resourceVersion"] = strconv.Itoa(k.version)
	meta["uid"] = cmp.Or(metadata(k.objects[path], "uid"), "uid-"+strconv.Itoa(k.version))
	k.objects[path] = object
	return object
}

func metadata(object map[string]any, field string) string {
	text, _, _ := unstructured.NestedString(object, "metadata", field)
	return text
}

func (k *keeper) refuse(req *http.Request, code int, reason metav1.StatusReason) (*http.Response, error) {
	return k.answer(req, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason,
	})
}

func (k *keeper) answer(req *http.Request, code int, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(string(text))),
	}, nil
}

func newKeeper() *keeper { return &keeper{objects: map[string]map[string]any{}} }

func (k *keeper) cutFor(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut = time.Now().Add(d)
}

func (k *keeper) at(path string) map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.objects[path]
}

func (k *keeper) forget(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.objects, path)
}

func (k *keeper) client(t *testing.T) *cluster.Client {
	t.Helper()
	client, err := cluster.New(&rest.Config{Host: "http://api", Transport: k, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// session is one of the service's own, with its lock.
func (k *keeper) session(t *testing.T, service string) *Session {
	t.Helper()
	target := Target{
		Service: service, Environment: "production", Namespace: "production", Holder: "test", Timeout: time.Minute,
		Cluster: k.client(t), Log: progress.Discard,
	}
	store := history.Open(target.Cluster, service, target.Environment, target.Namespace)
	lock, err := store.Lock(t.Context(), target.Holder, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(target, store, lock)
	t.Cleanup(func() { s.Close(t.Context()) })
	return s
}

// begin begins a release of the objects.
func begin(t *testing.T, s *Session, objects ...*unstructured.Unstructured) *Attempt {
	t.Helper()
	var changes []Change
	for _, u := range objects {
		changes = append(changes, Change{Verb: Update, Object: release.Describe(u), Wanted: u})
	}
	a, err := s.Begin(t.Context(), Plan{Objects: objects}, changes)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// recorded is a service's newest release, as the API server has it.
func (k *keeper) recorded(t *testing.T, service string) release.Record {
	t.Helper()
	h, err := history.Open(k.client(t), service, "production", "production").List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, _ := h.Newest()
	return r
}
