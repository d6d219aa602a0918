package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/fibership/fibership/test/bench/stage"
)

// rollouts is the resource of Argo Rollouts' controller.
var rollouts = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}

// argued is what the controller's canaries took and cost.
type argued struct {
	lost
	beyond []time.Duration
}

// argo lets the controller of Argo Rollouts promote the same service by a
// canary of the same steps and waits, without an analysis: it has no means of
// its own to measure.
func argo(ctx context.Context, ground *stage.Stage, rounds int) (found argued, err error) {
	found.lost = lost{name: "Argo Rollouts, canary by replicas of three steps", kinds: map[string]int{}}
	p, err := newPlace(ctx, ground)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, p.Remove(ctx)) }()
	stop, err := controller(ctx, p)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := p.rollout(ctx, 0); err != nil {
		return found, err
	}
	dyn, err := dynamic.NewForConfig(ground.Client.REST)
	if err != nil {
		return found, err
	}
	if _, err := p.healthy(ctx, dyn, 0); err != nil {
		return found, err
	}
	url, err := p.Production.URL(ctx)
	if err != nil {
		return found, err
	}
	if err := answers(ctx, url, p.host()); err != nil {
		return found, err
	}
	for range rounds {
		if err := p.Production.Quiet(ctx); err != nil {
			return found, err
		}
		to := 1 - p.live
		users := start(url)
		began := time.Now()
		err := p.rollout(ctx, to)
		var stepped time.Time
		if err == nil {
			stepped, err = p.healthy(ctx, dyn, to)
		}
		took := time.Since(began)
		if err == nil {
			err = p.Production.Quiet(ctx)
		}
		counts := users.stop()
		if err != nil {
			return found, err
		}
		p.live = to
		found.runs++
		found.took = append(found.took, took)
		found.beyond = append(found.beyond, (stepped.Sub(began)-steps*pause)/steps)
		found.sent, found.failed = found.sent+counts.Sent, found.failed+counts.Failed
		for kind, n := range counts.Kinds {
			found.kinds[kind] += n
		}
		fmt.Fprintf(os.Stderr, "%s, run %d: %v, %v\n", found.name, found.runs, took.Round(10*time.Millisecond), counts)
	}
	return found, nil
}

// controller installs the definitions of Argo Rollouts and starts its
// controller for the place's namespace.
func controller(ctx context.Context, p *place) (stop func() error, err error) {
	module, err := exec.CommandContext(ctx, "go", "list", "-C", "tools/argo-rollouts", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-rollouts").Output()
	if err != nil {
		return nil, fmt.Errorf("find its module: %w", err)
	}
	crds := filepath.Join(strings.TrimSpace(string(module)), "manifests", "crds")
	if err := p.Production.Kubectl(ctx, "apply", "--server-side", "-k", crds); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(p.Production.Bin, "rollouts-controller"), "--namespaced", "--namespace", p.Production.Namespace,
		"--kubeconfig", os.Getenv("KUBECONFIG"), "--loglevel", "warn", "--healthzPort", "18080", "--metricsport", "18090")
	cmd.Env = append(os.Environ(), "POD_NAMESPACE="+p.Production.Namespace, "ARGO_ROLLOUTS_NAMESPACE="+p.Production.Namespace)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return p.Production.Kubectl(context.WithoutCancel(ctx), "delete", "--wait=false", "-k", crds)
	}, nil
}

// rollout applies the service of the version as a Rollout.
func (p *place) rollout(ctx context.Context, version int) error {
	text := stage.Web{Image: p.Production.Images[version]}.Manifests()
	text = strings.Replace(text, "apiVersion: apps/v1\nkind: Deployment\n", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n", 1)
	wait := fmt.Sprintf("{pause: {duration: %s}}", pause)
	strategy := fmt.Sprintf("strategy: {canary: {maxUnavailable: 0, maxSurge: 50%%, steps: [{setWeight: 10}, %[1]s, {setWeight: 30}, %[1]s, {setWeight: 60}, %[1]s]}}", wait)
	text = strings.Replace(text, "strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 50%}}", strategy, 1)
	if err := p.Production.Write(text); err != nil {
		return err
	}
	return p.Production.Kubectl(ctx, "apply", "-f", "web.yaml")
}

// healthy waits until the Rollout is, and gives the moment at which its last
// step had been taken.
func (p *place) healthy(ctx context.Context, dyn dynamic.Interface, version int) (stepped time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var state string
	err = stage.Every(ctx, func(ctx context.Context) (bool, error) {
		u, err := dyn.Resource(rollouts).Namespace(p.Production.Namespace).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
		observed, _, _ := unstructured.NestedString(u.Object, "status", "observedGeneration")
		index, _, _ := unstructured.NestedInt64(u.Object, "status", "currentStepIndex")
		state = fmt.Sprintf("%s at step %d", phase, index)
		current := observed == fmt.Sprint(u.GetGeneration())
		if current && index >= 2*steps && stepped.IsZero() {
			stepped = time.Now()
		}
		return current && phase == "Healthy", nil
	})
	if err != nil {
		return stepped, fmt.Errorf("version %d is %s: %w", version, state, err)
	}
	return stepped, nil
}
