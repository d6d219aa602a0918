package stage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Place is a namespace of its own, and a folder for its manifests.
type Place struct {
	*Stage
	Namespace  string
	Folder     string
	Kubeconfig string // the file by which programs reach the cluster; empty: by the stage's own
}

// NewPlace makes a place, which is to be removed.
func (s *Stage) NewPlace(ctx context.Context) (*Place, error) {
	folder, err := os.MkdirTemp("", "fibership-bench-")
	if err != nil {
		return nil, err
	}
	p := &Place{Stage: s, Namespace: "bench-" + strings.ToLower(rand.Text()[:8]), Folder: folder}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.Namespace}}
	if _, err := s.Client.Kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return p, nil
}

// Remove begins the namespace's end and does not wait for it; it also comes
// after the end of ctx.
func (p *Place) Remove(ctx context.Context) error {
	return errors.Join(os.RemoveAll(p.Folder),
		p.Client.Kube.CoreV1().Namespaces().Delete(context.WithoutCancel(ctx), p.Namespace, metav1.DeleteOptions{}))
}

// Write puts the manifests where the tools want them: web.yaml for the actions
// and kubectl, and the very same file in helm's chart.
func (p *Place) Write(manifests string) error {
	files := map[string]string{
		"web.yaml":                 manifests,
		"chart/Chart.yaml":         "apiVersion: v2\nname: web\nversion: 1.0.0\n",
		"chart/templates/web.yaml": manifests,
	}
	for name, content := range files {
		path := filepath.Join(p.Folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// URL is that of the service's Service.
func (p *Place) URL(ctx context.Context) (string, error) {
	s, err := p.Client.Kube.CoreV1().Services(p.Namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://%s:%d/", s.Spec.ClusterIP, s.Spec.Ports[0].Port), nil
}
