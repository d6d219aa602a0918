package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/test/loadgen"
)

// place is where the story happens: two namespaces of its own.
type place struct {
	client              *cluster.Client
	staging, production string
	image               string // built last
	version             int    // likewise
}

func makePlace(ctx context.Context) (*place, error) {
	client, err := cluster.Connect(cluster.Options{})
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(rand.Text()[:5])
	p := &place{client: client, staging: "demo-staging-" + id, production: "demo-production-" + id}
	for _, name := range []string{p.staging, p.production} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.Kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("make namespace %s: %w", name, err)
		}
	}
	return p, nil
}

func (p *place) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, name := range []string{p.staging, p.production} {
		if err := p.client.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, "demo: remove namespace:", err)
		}
	}
}

// begin sends a constant load to production: to its cluster address, each
// request by a connection of its own, or through the API server.
func (p *place) begin(ctx context.Context, rate int, through bool) (*loadgen.Load, error) {
	s, err := p.client.Kube.CoreV1().Services(p.production).Get(ctx, "orders", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the service of production: %w", err)
	}
	if len(s.Spec.Ports) == 0 {
		return nil, errors.New("the service of production has no port")
	}
	port := int(s.Spec.Ports[0].Port)
	if !through {
		return loadgen.Start(fmt.Sprintf("http://%s:%d/orders", s.Spec.ClusterIP, port), rate, true), nil
	}
	client, base, err := p.client.ServiceURL(p.production, s.Name, port)
	if err != nil {
		return nil, err
	}
	return loadgen.StartWith(client, base.JoinPath("orders").String(), rate), nil
}

// commit stands for what git would say of a version.
func commit(version int) string {
	return fmt.Sprintf("%d%s", version, strings.Repeat("c0ffee0", 6)[:39])
}

// checkout lays a version of the example out: the service, and over it what
// demo/_v<n> changes.
func checkout(example, work string, version int) error {
	to := filepath.Join(work, "orders")
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(example)); err != nil {
		return err
	}
	overlay := filepath.Join(example, "demo", fmt.Sprintf("_v%d", version))
	err := filepath.WalkDir(overlay, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(overlay, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o644)
	})
	if version == 1 && errors.Is(err, fs.ErrNotExist) {
		return nil // version 1 is the example as it is
	}
	return err
}
