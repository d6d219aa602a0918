package veil

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// vault is an API server that has Secrets, by name.
type vault struct {
	values map[string]string
	status int // of each answer, where it is not 0
	asked  int
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.asked++
	value, ok := v.values[path.Base(r.URL.Path)]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case v.status != 0:
		w.WriteHeader(v.status)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
	default:
		_ = json.NewEncoder(w).Encode(corev1.Secret{TypeMeta: metav1.TypeMeta{Kind: "Secret", APIVersion: "v1"}, Data: map[string][]byte{"key": []byte(value)}})
	}
}

// before is a veil before a cluster that has only the vault, and a Deployment
// whose pods are given the Secret "given".
func before(t *testing.T, v *vault) (*Veil, *unstructured.Unstructured) {
	t.Helper()
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
			"name": "web", "envFrom": []any{map[string]any{"secretRef": map[string]any{"name": "given"}}},
		}}}}},
	}}
	return New(kube, "shop", "orders"), u
}

func TestVeil_readsWhatPodsAreGivenOnceThereIsSomethingToShow(t *testing.T) {
	t.Parallel()
	v := &vault{values: map[string]string{"given": "pl4nted"}}
	s, u := before(t, v)
	s.Cover(u)
	hide := s.Foreign(t.Context())
	if got := s.Known("all is well") + hide(""); got != "all is well" || v.asked != 0 {
		t.Errorf("%d Secrets were read for %q", v.asked, got)
	}
	if got := hide("it says pl4nted, orders"); got != "it says ***, orders" {
		t.Errorf("shown as %q", got)
	}
	if got := hide("again pl4nted"); got != "again ***" || v.asked != 1 {
		t.Errorf("shown as %q after %d reads", got, v.asked)
	}
	cause := errors.New("check: pl4nted")
	if err := s.Error(cause); err.Error() != "check: ***" || !errors.Is(err, cause) {
		t.Errorf("the error reads %q", err)
	}
}

func TestVeil_findsASecretThatComesLateOrChanges(t *testing.T) {
	t.Parallel()
	v := &vault{values: map[string]string{}}
	s, u := before(t, v)
	s.Cover(u)
	hide := s.Foreign(t.Context())
	for _, value := range []string{"", "first-value", "second-value"} {
		if value != "" {
			v.values["given"] = value
		}
		for key := range s.named {
			s.named[key] = time.Now().Add(-again)
		}
		if got := hide("x " + value); value != "" && got != "x ***" {
			t.Errorf("%q is shown as %q", value, got)
		}
	}
	if got := hide("first-value second-value"); got != "*** ***" {
		t.Errorf("shown as %q", got)
	}
}

func TestVeil_showsNothingWhileItCannotKnowWhatToHide(t *testing.T) {
	t.Parallel()
	v := &vault{values: map[string]string{"given": "pl4nted"}, status: http.StatusBadRequest}
	s, u := before(t, v)
	s.Cover(u)
	hide := s.Foreign(t.Context())
	if got := hide("pl4nted"); strings.Contains(got, "pl4nted") || !strings.Contains(got, "Secret given") {
		t.Errorf("shown as %q", got)
	}
	v.status = 0
	if got := hide("it says pl4nted"); got != "it says ***" {
		t.Errorf("shown as %q", got)
	}
	v.status = http.StatusForbidden
	s, u = before(t, v)
	s.Cover(u)
	if got := s.Foreign(t.Context())("what we may not know"); got != "what we may not know" {
		t.Errorf("shown as %q", got)
	}
}

func TestVeil_knowsSecretsAtHand(t *testing.T) {
	t.Parallel()
	v := &vault{}
	s, _ := before(t, v)
	keys := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "keys"},
		"data": map[string]any{"a": "cGw0bnRlZA=="}, "stringData": map[string]any{"b": "as-written", "c": int64(4711471147)},
	}}
	s.Cover(keys)
	if got := s.Known("pl4nted as-written 4711471147"); got != "*** *** ***" || v.asked != 0 {
		t.Errorf("shown as %q after %d reads", got, v.asked)
	}
}
