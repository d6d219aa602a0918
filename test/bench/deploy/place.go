package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/test/kill"
)

// place is one tool's own namespace, and its own way to the API server.
type place struct {
	*bench
	tool       tool
	namespace  string
	folder     string // the manifests
	proxy      *kill.Proxy
	kubeconfig string
}

func (b *bench) newPlace(ctx context.Context, t tool) (p *place, err error) {
	p = &place{bench: b, tool: t, namespace: "bench-" + strings.ToLower(rand.Text()[:8])}
	if p.folder, err = os.MkdirTemp("", "fibership-bench-"); err != nil {
		return p, err
	}
	if p.proxy, err = kill.StartProxy(b.Client.REST, kill.Point{}); err != nil {
		return p, err
	}
	content, err := p.proxy.Kubeconfig()
	if err != nil {
		return p, err
	}
	p.kubeconfig = filepath.Join(p.folder, "kubeconfig")
	if err := os.WriteFile(p.kubeconfig, []byte(content), 0o600); err != nil {
		return p, err
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}
	_, err = b.Client.Kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	return p, err
}

// within gives a place of its own to each tool, in turn, for work.
func (b *bench) within(ctx context.Context, work func(*place) error) error {
	for _, t := range tools {
		p, err := b.newPlace(ctx, t)
		if err == nil {
			err = work(p)
		}
		if err = errors.Join(err, p.remove(ctx)); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

func (p *place) remove(ctx context.Context) error {
	if p.proxy != nil {
		_ = p.proxy.Close()
	}
	return errors.Join(os.RemoveAll(p.folder),
		p.Client.Kube.CoreV1().Namespaces().Delete(context.WithoutCancel(ctx), p.namespace, metav1.DeleteOptions{}))
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

// errTold is a tool's own word that the release does not serve.
var errTold = errors.New("it says that the release does not serve")

// sh runs commands one after the other, through the place's proxy.
func (p *place) sh(ctx context.Context, commands ...[]string) error {
	for _, c := range commands {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir = p.folder
		cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
		output, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return fmt.Errorf("%w: %s: %w\n%s", errTold, strings.Join(c, " "), err, output)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pods looks at the pods again and again, past the proxy.
func (p *place) pods(ctx context.Context, ok func([]corev1.Pod) bool) error {
	return every(ctx, func() (bool, error) {
		list, err := p.Client.Kube.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
		return err == nil && ok(list.Items), err
	})
}

func every(ctx context.Context, ok func() (bool, error)) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if is, err := ok(); is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// replicas is how many pods each service has.
const replicas = 4

// manifests is one version of the service with its configuration. more is put
// into the container.
func manifests(image, greet, more string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {GREET: %[2]q}
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
          lifecycle: {preStop: {sleep: {seconds: 3}}}
%[4]s---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`, image, greet, replicas, more)
}

// ready is the container's readiness probe.
const ready = "          readinessProbe: {httpGet: {path: /readyz, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}\n"
