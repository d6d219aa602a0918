package cluster

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func refusal(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

func TestRefine_saysWhoRefused(t *testing.T) {
	for _, test := range []struct {
		err       error
		by, words string
	}{
		{refusal(403, metav1.StatusReasonForbidden, `admission webhook "a.example.com" denied the request: no`), `webhook "a.example.com"`, "no"},
		{refusal(400, metav1.StatusReasonBadRequest, "admission webhook \"a.example.com\" denied the request: line one\nline two"), `webhook "a.example.com"`, "line one\nline two"},
		{refusal(403, metav1.StatusReasonForbidden, `pods "web" is forbidden: exceeded quota: team, requested: cpu=2, used: cpu=7, limited: cpu=8`), "quota", "exceeded quota: team, requested: cpu=2, used: cpu=7, limited: cpu=8"},
		{refusal(403, metav1.StatusReasonForbidden, `pods "web" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`), "pod security", `violates PodSecurity "restricted:latest": runAsNonRoot != true`},
		{refusal(403, metav1.StatusReasonForbidden, `pods "web" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi`), "limit range", "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
	} {
		var refused *RefusedError
		err := refine(test.err, "Pod web", 10)
		if !errors.As(err, &refused) || refused.By != test.by || refused.Words != test.words {
			t.Errorf("%v\ngives %v", test.err, err)
		}
		if !errors.Is(err, test.err) {
			t.Errorf("%v does not unwrap to the API's error", err)
		}
	}
}

func TestRefine_tellsAWebhookWithSideEffectsFromAFailure(t *testing.T) {
	err := refusal(http.StatusBadRequest, metav1.StatusReasonBadRequest, `admission webhook "a.example.com" does not support dry run`)
	if got := refine(err, "Pod web", 10); !errors.Is(got, ErrNoDryRun) || !strings.Contains(got.Error(), "a.example.com") {
		t.Errorf("error %v", got)
	}
}

func TestRules_putsVerbsOfOneResourceTogether(t *testing.T) {
	got := Rules([]Access{
		{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "staging"},
		{Verb: "get", Resource: "namespaces"},
		{Verb: "create", Group: "apps", Resource: "deployments", Namespace: "staging", Name: "web"},
		{Verb: "get", Resource: "pods", Subresource: "log", Namespace: "staging", Name: "web-1"},
	})
	want := `# add to a ClusterRole
rules:
- apiGroups:
  - ""
  resources:
  - namespaces
  verbs:
  - get
# add to a Role in the namespace staging
rules:
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - create
  - patch
- apiGroups:
  - ""
  resourceNames:
  - web-1
  resources:
  - pods/log
  verbs:
  - get
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOrder_putsFirstWhatOthersReferTo(t *testing.T) {
	var objs []*unstructured.Unstructured
	given := []string{"HTTPRoute", "HorizontalPodAutoscaler", "Rocket", "Deployment/b", "Deployment/a", "Service", "ConfigMap", "RoleBinding", "Role", "ServiceAccount", "CustomResourceDefinition", "Namespace"}
	want := "Namespace CustomResourceDefinition ServiceAccount Role RoleBinding ConfigMap Service Deployment/b Deployment/a Rocket HorizontalPodAutoscaler HTTPRoute"
	for _, entry := range given {
		kind, name, _ := strings.Cut(entry, "/")
		objs = append(objs, &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{"name": name}}})
	}
	Order(objs)
	var got []string
	for _, u := range objs {
		got = append(got, strings.TrimSuffix(u.GetKind()+"/"+u.GetName(), "/"))
	}
	if strings.Join(got, " ") != want {
		t.Errorf("order %s\nwant  %s", strings.Join(got, " "), want)
	}
}

func TestDiff_showsWhatAPersonChanged(t *testing.T) {
	live := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "a", "uid": "1", "resourceVersion": "7", "managedFields": []any{}, "annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
		"data":     map[string]any{"color": "blue", "size": "s"}, "status": map[string]any{},
	}}
	wanted := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"},
		"data": map[string]any{"color": "red", "size": "s"},
	}}
	want := `@@ -1,6 +1,6 @@
 apiVersion: v1
 data:
-  color: blue
+  color: red
   size: s
 kind: ConfigMap
 metadata:
`
	if got := Diff(live, wanted); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Diff(live, live.DeepCopy()); got != "" {
		t.Errorf("nothing changed, and yet\n%s", got)
	}
	if got := Diff(nil, wanted); strings.Count(got, "\n+") != 7 {
		t.Errorf("a new object is shown as\n%s", got)
	}
}

func TestDiff_showsNoSecret(t *testing.T) {
	with := func(field, value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "a", "annotations": map[string]any{
				"kubectl.kubernetes.io/last-applied-configuration": `{"stringData":{"password":"hunter2"}}`,
			}},
			field: map[string]any{"password": value},
		}}
	}
	if got := Diff(with("data", "aHVudGVyMg=="), with("stringData", "hunter2")); got != "" {
		t.Errorf("the same value, encoded and plain, differs:\n%s", got)
	}
	got := Diff(with("data", "aHVudGVyMg=="), with("data", "aHVudGVyMw=="))
	if strings.Count(got, "(secret, hash ") != 2 || strings.Contains(got, "hunter") || strings.Contains(got, "aHVudGVy") {
		t.Errorf("a changed secret is shown as\n%s", got)
	}
}
