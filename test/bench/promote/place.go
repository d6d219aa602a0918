package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/test/runner"
)

// place is a service in staging and in production, each a namespace of its own.
type place struct {
	client     *cluster.Client
	bin        string
	staging    string
	production string
	folder     string
	images     [2]string
	live       int // which of the two versions production has; -1: none
}

func newPlace(ctx context.Context, client *cluster.Client, bin string, images [2]string) (*place, error) {
	id := strings.ToLower(rand.Text()[:8])
	p := &place{client: client, bin: bin, images: images, staging: "bench-staging-" + id, production: "bench-production-" + id, live: -1}
	var err error
	if p.folder, err = os.MkdirTemp("", "fibership-bench-"); err != nil {
		return p, err
	}
	for _, name := range []string{p.staging, p.production} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.Kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return p, err
		}
	}
	return p, p.write("staging.yaml", manifests(1, ""))
}

func (p *place) remove(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	errs := []error{os.RemoveAll(p.folder)}
	for _, name := range []string{p.staging, p.production} {
		errs = append(errs, p.client.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))
	}
	return errors.Join(errs...)
}

func (p *place) write(name, content string) error {
	return os.WriteFile(filepath.Join(p.folder, name), []byte(content), 0o600)
}

// kubectl runs it in production.
func (p *place) kubectl(ctx context.Context, arguments ...string) error {
	cmd := exec.CommandContext(ctx, "kubectl", append([]string{"--namespace", p.production}, arguments...)...)
	cmd.Dir = p.folder
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(arguments, " "), err, output)
	}
	return nil
}

// pass brings a version to staging.
func (p *place) pass(ctx context.Context, version int) error {
	_, err := p.action(ctx, "deploy-staging", 0, map[string]string{
		"image": p.images[version], "manifests": "staging.yaml", "environment": "staging", "namespace": p.staging,
	})
	return err
}

// promote brings to production what is live in staging.
func (p *place) promote(ctx context.Context, exit int, inputs map[string]string) (step, error) {
	all := map[string]string{
		"manifests": "production.yaml", "from-namespace": p.staging, "namespace": p.production, "watch": "0s",
	}
	maps.Copy(all, inputs)
	return p.action(ctx, "promote", exit, all)
}

// step is a run of an action, with the moment at which each line of its log came.
type step struct {
	runner.Outcome
	began time.Time
	lines []line
}

type line struct {
	at   time.Time
	text string
}

// at is when the first line came that holds text.
func (s step) at(text string) (time.Time, error) {
	for _, l := range s.lines {
		if strings.Contains(l.text, text) {
			return l.at, nil
		}
	}
	return time.Time{}, fmt.Errorf("no line of the log holds %q:\n%s", text, s.Log)
}

func (p *place) action(ctx context.Context, name string, exit int, inputs map[string]string) (step, error) {
	all := map[string]string{"service": "web"}
	maps.Copy(all, inputs)
	var clock stamps
	began := time.Now()
	o, err := runner.Step{
		Binary: filepath.Join(p.bin, name), Inputs: all, Workspace: p.folder, Log: &clock,
		Env: map[string]string{"GITHUB_REPOSITORY": "acme/web", "GITHUB_ACTOR": "bench"},
	}.Run(ctx)
	if err == nil && o.Exit != exit {
		err = fmt.Errorf("%s ended with exit code %d, not %d; its log:\n%s", name, o.Exit, exit, o.Log)
	}
	return step{Outcome: o, began: began, lines: clock.lines}, err
}

// stamps notes when lines come.
type stamps struct {
	mu    sync.Mutex
	rest  []byte
	lines []line
}

func (s *stamps) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, b...)
	for {
		text, after, found := bytes.Cut(s.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		s.lines = append(s.lines, line{time.Now(), string(text)})
		s.rest = after
	}
}

// replicas is how many pods production has.
const replicas = 4

// manifests is the service as an application that loses no request: pods serve
// on until every proxy knows that they end. env is more of the container's
// environment, as YAML's flow style has it.
func manifests(size int, env string) string { return fmt.Sprintf(template, size, env, drain) }

// drain is how long an ending pod serves on, in seconds.
var drain = 3

const template = `apiVersion: apps/v1
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
          image: IMAGE
          env: [%[2]s]
          ports: [{containerPort: 3000}]
          readinessProbe: {httpGet: {path: /readyz, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: %[3]d}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 3000}]
`
