package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
)

// place is one tool's own namespace, with the same service in it.
type place struct {
	tool      tool
	client    *cluster.Client
	bin       string
	namespace string
	folder    string // the tool's manifests
	images    [2]string
	live      int // which of the two versions
	revision  int // as the tool counts them
}

func newPlace(ctx context.Context, t tool, client *cluster.Client, bin string, images [2]string) (*place, error) {
	p := &place{tool: t, client: client, bin: bin, images: images, namespace: "bench-" + strings.ToLower(rand.Text()[:8])}
	var err error
	if p.folder, err = os.MkdirTemp("", "fibership-bench-"); err != nil {
		return p, err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}
	if _, err := client.Kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return p, err
	}
	for version := range images {
		if err := p.write(manifests(images[version], version)); err != nil {
			return p, err
		}
		if err := t.deploy(ctx, p, version); err != nil {
			return p, err
		}
		p.live = version
		p.revision++
	}
	return p, nil
}

func (p *place) remove(ctx context.Context) error {
	if err := os.RemoveAll(p.folder); err != nil {
		return err
	}
	return p.client.Kube.CoreV1().Namespaces().Delete(context.WithoutCancel(ctx), p.namespace, metav1.DeleteOptions{})
}

// write puts the manifests where the tools want them: helm's chart holds the
// very same file.
func (p *place) write(manifests string) error {
	files := map[string]string{
		"web.yaml":                 manifests,
		"chart/Chart.yaml":         "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"chart/templates/web.yaml": manifests,
	}
	for name, content := range files {
		path := filepath.Join(p.folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// sh runs commands one after the other.
func (p *place) sh(ctx context.Context, commands ...[]string) error {
	for _, c := range commands {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir = p.folder
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, output)
		}
	}
	return nil
}

// replicas is how many pods each service has.
const replicas = 4

// manifests is one version of the service with its configuration. Pods are
// told to serve on until every proxy knows that they end, as is right.
func manifests(image string, version int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {GREET: "configuration %[2]d"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %[3]d
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 50%%}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: %[1]s
          envFrom: [{configMapRef: {name: settings}}]
          ports: [{containerPort: 3000}]
          readinessProbe: {httpGet: {path: /readyz, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: 3}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`, image, version, replicas)
}
