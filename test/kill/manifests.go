package kill

import "fmt"

// manifests is the n-th release: its pods read configuration that no other
// release has, so that they tell which release they are of; every second one
// brings an object more. name is the Deployment's.
func manifests(n int, name string) string {
	text := fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {GREET: "release content %[1]d"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {content: "%[1]d"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[2]s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web, part: %[2]s}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: web, part: %[2]s}}
    spec:
      containers:
        - name: web
          image: IMAGE
          envFrom: [{configMapRef: {name: settings}}]
          ports: [{containerPort: 3000}]
          readinessProbe: {httpGet: {path: /readyz, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: 4}}}
          volumeMounts: [{name: flags, mountPath: /etc/flags}]
      volumes: [{name: flags, configMap: {name: web-flags, optional: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`, n, name)
	if n%2 == 0 {
		text += fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\ndata: {content: \"%d\"}\n", n)
	}
	return text
}

// route leads a host of a gateway to the release's Service; both Services are
// there from the first release on, whatever brings it.
func route(namespace, name, host string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: web-canary}
spec:
  selector: {app: web, fibership.dev/track: canary}
  ports: [{port: 80, targetPort: 3000}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  hostnames: [%s]
  parentRefs: [{namespace: %s, name: %s}]
  rules: [{backendRefs: [{name: web, port: 80, weight: 100}, {name: web-canary, port: 80, weight: 0}]}]
`, host, namespace, name)
}

// flagFile is the n-th release's: what it says of its flag is said by no other,
// so that nothing is taken over from an earlier ramp.
func flagFile(n int) string {
	return fmt.Sprintf(`{"flags": {"new": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "metadata": {"n": %d}}}}`, n)
}

// job is one that works for a moment and ends with the exit code.
func job(name string, exit int) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %[1]s}
spec:
  template:
    spec:
      containers: [{name: %[1]s, image: IMAGE, args: [work, 200ms, "%[2]d"]}]
`, name, exit)
}
