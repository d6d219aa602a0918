package cluster_test

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/testcluster"
)

// What Judge lets through or refuses, the server's own dry run does, too.
func TestJudge_agreesWithTheServer(t *testing.T) {
	c := testcluster.New(t)
	web := strings.ReplaceAll(web, "IMAGE", "example.com/web:1")
	for _, text := range []string{
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: held}, data: {color: blue}}`,
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed}, immutable: true, data: {color: blue}}`,
		`{apiVersion: v1, kind: Secret, metadata: {name: typed}, type: Opaque, stringData: {a: b}}`,
		strings.ReplaceAll(web, "name: web}", "name: live}"),
	} {
		apply(t, c.Client, object(t, c.Namespace, text))
	}
	patch := []byte(`{"data":{"color":"green"}}`)
	if _, err := c.Client.Kube.CoreV1().ConfigMaps(c.Namespace).Patch(t.Context(), "held", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a good ConfigMap":            settings,
		"binary data":                 `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, binaryData: {b: AAEC}}`,
		"binary data that is none":    `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, binaryData: {b: "?"}}`,
		"a key that is none":          `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {"a/b": c}}`,
		"a key twice":                 `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: c}, binaryData: {b: AAEC}}`,
		"a number for a text":         `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: 1}}`,
		"an unknown field":            `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, date: {b: c}}`,
		"a name that is none":         `{apiVersion: v1, kind: ConfigMap, metadata: {name: A_b}}`,
		"a label that is none":        `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {b: "c d"}}}`,
		"an annotation that is none":  `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {"b c": d}}}`,
		"a ConfigMap of 1.1 MB":       `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: ` + strings.Repeat("x", 1_100_000) + `}}`,
		"a ConfigMap of 1.6 MB":       `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {b: ` + strings.Repeat("x", 1_600_000) + `}}`,
		"held by somebody":            `{apiVersion: v1, kind: ConfigMap, metadata: {name: held}, data: {color: red}}`,
		"as somebody holds it":        `{apiVersion: v1, kind: ConfigMap, metadata: {name: held}, data: {color: green}}`,
		"beside what somebody holds":  `{apiVersion: v1, kind: ConfigMap, metadata: {name: held}, data: {color: green, size: "1"}}`,
		"fixed, and changed":          `{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed}, immutable: true, data: {color: red}}`,
		"fixed, and labelled":         `{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed, labels: {a: b}}, immutable: true, data: {color: blue}}`,
		"another type":                `{apiVersion: v1, kind: Secret, metadata: {name: typed}, type: example.com/other, stringData: {a: b}}`,
		"a good Secret":               `{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: b}}`,
		"a certificate without a key": `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/tls, stringData: {tls.crt: b}}`,
		"a certificate":               `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/tls, stringData: {tls.crt: b, tls.key: c}}`,
		"a login without a name":      `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/basic-auth, stringData: {password: b}}`,
		"a login with neither":        `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/basic-auth, stringData: {word: b}}`,
		"a registry's login":          `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "{}"}}`,
		"a registry's login, no JSON": `{apiVersion: v1, kind: Secret, metadata: {name: a}, type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "?"}}`,
		"an account":                  `{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, automountServiceAccountToken: false}`,
		"an account with a word":      `{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, automountServiceAccountToken: maybe}`,
		"a good Deployment":           web,
		"an unknown field in a pod":   strings.Replace(web, "containers:", "container:", 1),
		"a text for a number":         strings.Replace(web, "replicas: 1", "replicas: two", 1),
		"the same Deployment again":   strings.ReplaceAll(web, "name: web}", "name: live}"),
	} {
		u := object(t, c.Namespace, text)
		_, server := c.Client.Apply(t.Context(), u, cluster.ApplyOptions{DryRun: true})
		judged := c.Client.Judge(t.Context(), u, get(t, c.Client, u), cluster.ApplyOptions{})
		if (server == nil) != (judged == nil) {
			t.Errorf("%s: the server says %.300v, Judge %.300v", name, server, judged)
			continue
		}
		for _, kind := range []error{&cluster.ConflictError{}, &cluster.ImmutableError{}, &cluster.TooLargeError{}} {
			if is(server, kind) != is(judged, kind) {
				t.Errorf("%s: the server says %.300v, Judge %.300v", name, server, judged)
			}
		}
	}
}

// is says whether an error of another's type is within err.
func is(err, other error) bool {
	for ; err != nil; err = unwrap(err) {
		if reflect.TypeOf(err) == reflect.TypeOf(other) {
			return true
		}
	}
	return false
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}
