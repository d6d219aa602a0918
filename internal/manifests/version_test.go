package manifests

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/release"
)

const configured = `apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: ns}
data: {color: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: ns}
stringData: {token: abc}
---
apiVersion: v1
kind: Secret
metadata: {name: pull, namespace: ns}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{}'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: unused, namespace: ns}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kept, namespace: ns, annotations: {fibership.dev/keep-name: "true"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: other}
---
apiVersion: v1
kind: Secret
metadata: {name: certificate, namespace: ns}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: ns}
spec: {tls: [{secretName: certificate}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: web, namespace: ns}
rules: [{apiGroups: [""], resources: [configmaps], resourceNames: [watched], verbs: [get]}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: watched, namespace: ns}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: web, namespace: ns}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          imagePullSecrets: [{name: pull}]
          initContainers:
          - {name: i, image: IMAGE, envFrom: [{configMapRef: {name: settings}}, {secretRef: {name: token}}]}
          containers:
          - name: c
            image: IMAGE
            env:
            - {name: A, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
            - {name: B, valueFrom: {secretKeyRef: {name: token, key: token}}}
            - {name: C, valueFrom: {configMapKeyRef: {name: elsewhere, key: color}}}
          volumes:
          - {name: a, configMap: {name: settings}}
          - {name: b, secret: {secretName: token}}
          - {name: c, projected: {sources: [{configMap: {name: settings}}, {secret: {name: token}}, {configMap: {name: kept}}]}}
          - {name: d, secret: {secretName: certificate}}
          - {name: e, configMap: {name: watched}}
`

func TestVersion_renamesWhatPodsUseAndEveryReference(t *testing.T) {
	objs := decode(t, configured)
	Version(objs)
	raw, err := json.Marshal(objs[len(objs)-1].Object)
	if err != nil {
		t.Fatal(err)
	}
	pods := string(raw)
	for i, original := range []string{"settings", "token", "pull"} {
		name := objs[i].GetName()
		if !strings.HasPrefix(name, original+"-") || len(name) != len(original)+11 {
			t.Errorf("%s is named %s", original, name)
		}
		if objs[i].GetLabels()[release.VersionedLabel] != "true" {
			t.Errorf("%s is not labelled as versioned: releases that need it would lose it", name)
		}
		if strings.Contains(pods, `"`+original+`"`) && original != "token" { // token is a key too
			t.Errorf("a reference to %s is left in %s", original, pods)
		}
	}
	for what, want := range map[string]int{objs[0].GetName(): 4, objs[1].GetName(): 4, objs[2].GetName(): 1, "kept": 1, "certificate": 1, "watched": 1, "elsewhere": 1} {
		if n := strings.Count(pods, `:"`+what+`"`); n != want {
			t.Errorf("%s is referred to %d times, want %d", what, n, want)
		}
	}
	for i, want := range map[int]string{3: "unused", 4: "kept", 5: "settings", 6: "certificate", 9: "watched"} {
		if got := objs[i].GetName(); got != want || len(objs[i].GetLabels()) > 0 {
			t.Errorf("%s was renamed to %s", want, got)
		}
	}
}

func TestVersion_isIdempotentAndFollowsTheContent(t *testing.T) {
	once, twice, changed := decode(t, configured), decode(t, configured), decode(t, strings.Replace(configured, "blue", "red", 1))
	Version(once)
	Version(twice)
	Version(twice)
	Version(changed)
	if once[0].GetName() != twice[0].GetName() {
		t.Errorf("once %s, twice %s", once[0].GetName(), twice[0].GetName())
	}
	if once[0].GetName() == changed[0].GetName() {
		t.Error("another content has the same name")
	}
	if once[1].GetName() != changed[1].GetName() {
		t.Error("the same content has another name")
	}
}

func TestVersion_keepsNamesWithinTheirLimit(t *testing.T) {
	long := strings.Repeat("a", 253)
	objs := decode(t, strings.ReplaceAll(configured, "settings", long))
	Version(objs)
	if name := objs[0].GetName(); len(name) != 253 || !strings.Contains(name, "a-") {
		t.Errorf("%d characters: %s", len(name), name)
	}
}
