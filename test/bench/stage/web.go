package stage

import (
	"cmp"
	"fmt"
)

// Web is the test service as an application that loses no request: pods serve
// on until every proxy knows that they end.
type Web struct {
	Replicas int    // 0: Replicas
	Image    string // empty: the one that an action is given
	Greet    string // its configuration, in a ConfigMap; empty: it has none
	Env      string // the container's environment, as YAML's flow style has it
	Probe    string // the path that tells that it is ready; empty: /readyz
	Beside   string // the image of a second container; empty: there is none
	Drain    int    // how long an ending pod serves on, in seconds; 0: 3
}

// Manifests is the service's, as YAML.
func (w Web) Manifests() string {
	var configuration, environment, beside string
	if w.Greet != "" {
		configuration = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {GREET: %q}\n---\n", w.Greet)
		environment = "          envFrom: [{configMapRef: {name: settings}}]\n"
	}
	if w.Env != "" {
		environment += fmt.Sprintf("          env: [%s]\n", w.Env)
	}
	if w.Beside != "" {
		beside = fmt.Sprintf("        - {name: beside, image: %q}\n", w.Beside)
	}
	return configuration + fmt.Sprintf(web, cmp.Or(w.Replicas, Replicas), cmp.Or(w.Image, "IMAGE"), environment,
		cmp.Or(w.Probe, "/readyz"), cmp.Or(w.Drain, 3), beside)
}

const web = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %[1]d
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 50%%}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: web
          image: %[2]s
%[3]s          ports: [{containerPort: 3000}]
          readinessProbe: {httpGet: {path: %[4]q, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: %[5]d}}}
%[6]s---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`
