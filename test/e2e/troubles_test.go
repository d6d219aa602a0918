package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// underway begins to promote version 2 over version 1, of two pods behind a
// PodDisruptionBudget, and returns when the log says the word.
func underway(t *testing.T, word string, inputs map[string]string) (p *place, wait func() runner.Outcome) {
	t.Helper()
	p = newPlace(t)
	p.file("web.yaml", guarded)
	p.deploy(p.image("1"), map[string]string{"manifests": "web.yaml"})
	p.run(0, "promote", map[string]string{"manifests": "web.yaml", "strategy": "rolling", "watch": "0s"})
	p.deploy(p.image("2"), map[string]string{"manifests": "web.yaml"})
	all := map[string]string{"manifests": "web.yaml", "steps": "50%", "watch": "5s", "step-duration": "25s", "analysis": "error-rate < 5%", "metrics": "probe", "port": "3000"}
	for name, value := range inputs {
		all[name] = value
	}
	return p, p.until(word, all)
}

// until begins to promote and returns when the log says the word.
func (p *place) until(word string, inputs map[string]string) (wait func() runner.Outcome) {
	p.t.Helper()
	said := make(chan struct{})
	step := p.step("promote", inputs)
	step.Log = &killer{word: word, kill: func() { close(said) }}
	promotion, err := step.Start(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan runner.Outcome, 1)
	go func() {
		o, err := promotion.Wait()
		if err != nil {
			p.t.Error(err)
		}
		ended <- o
	}()
	select {
	case <-said:
	case o := <-ended:
		p.t.Fatalf("promote ended before it said %q; its log:\n%s", word, o.Log)
	}
	return func() runner.Outcome { return <-ended }
}

const guarded = manifest + `---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
`

// least watches how many pods of the production Service are ready and not
// ending, and gives the fewest that there ever were.
func (p *place) least() (stop func() int) {
	ctx, cancel := context.WithCancel(p.t.Context())
	var done sync.WaitGroup
	fewest := 1 << 30
	done.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if n, err := p.ready(ctx); err == nil {
				fewest = min(fewest, n)
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return func() int { cancel(); done.Wait(); return fewest }
}

// ready is how many endpoints the production Service has.
func (p *place) ready(ctx context.Context) (int, error) {
	slices, err := p.Client.Kube.DiscoveryV1().EndpointSlices(p.production).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n++
			}
		}
	}
	return n, nil
}

// The autoscaler's controller is the cluster's own: it acts on its bounds.
func TestPromote_capacityNeverDipsWhileAnAutoscalerActs(t *testing.T) {
	for strategy, word := range map[string]string{"canary": "canary at 50%", "blue-green": "green stands beside"} {
		t.Run(strategy, func(t *testing.T) {
			p := newPlace(t)
			// The one has its autoscaler in its manifests, the other got it later,
			// when its size was its manifests'.
			text := strings.Replace(guarded, "  replicas: 2\n", "", 1) + fmt.Sprintf(scaler, 3)
			if strategy == "canary" {
				text = strings.Replace(guarded, "  replicas: 2\n", "  replicas: 3\n", 1)
			}
			p.file("web.yaml", text)
			inputs := map[string]string{"manifests": "web.yaml"}
			p.deploy(p.image("1"), inputs)
			p.run(0, "promote", with(with(inputs, "strategy", "rolling"), "watch", "0s"))
			if strategy == "canary" {
				hpa := decodeYAML(t, strings.TrimPrefix(fmt.Sprintf(scaler, 3), "---\n"))
				hpa.SetNamespace(p.production)
				if _, err := p.Client.Apply(t.Context(), hpa, cluster.ApplyOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "three pods", func(context.Context) bool { return p.pods(p.production, "app=web") == 3 })
			p.deploy(p.image("2"), inputs)
			eventually(t, "three endpoints", func(ctx context.Context) bool {
				n, err := p.ready(ctx)
				return err == nil && n == 3
			})

			least := p.least()
			load := loadgen.Start(p.url(p.production), 100, true)
			wait := p.until(word, map[string]string{
				"manifests": "web.yaml", "strategy": strategy, "steps": "50%", "step-duration": "25s", "watch": "3s",
				"analysis": "error-rate < 5%", "metrics": "probe", "port": "3000",
			})
			hpa, err := p.Client.Kube.AutoscalingV2().HorizontalPodAutoscalers(p.production).Get(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			five := int32(5)
			hpa.Spec.MinReplicas = &five
			if _, err := p.Client.Kube.AutoscalingV2().HorizontalPodAutoscalers(p.production).Update(t.Context(), hpa, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			testcluster.Eventually(t, 2*time.Minute, "the autoscaler to have scaled", func(ctx context.Context) bool {
				d, err := p.Client.Kube.AppsV1().Deployments(p.production).Get(ctx, "web", metav1.GetOptions{})
				return err == nil && d.Spec.Replicas != nil && *d.Spec.Replicas == 5 && d.Status.ReadyReplicas == 5
			})
			eventually(t, "five endpoints", func(ctx context.Context) bool {
				n, err := p.ready(ctx)
				return err == nil && n >= 5
			})
			since := p.least()
			o := wait()
			counts, fewest, grown := load.Stop(), least(), since()
			if o.Exit != 0 {
				t.Fatalf("promote ended with exit code %d; its log:\n%s", o.Exit, o.Log)
			}
			if counts.Failed > 0 || fewest < 3 {
				t.Errorf("requests: %v; at times only %d pods were ready, there were 3 before; the log:\n%s", counts, fewest, o.Log)
			}
			if grown < 5 {
				t.Errorf("at times only %d pods were ready once there were 5; the log:\n%s", grown, o.Log)
			}
			p.settled(p.image("2"))
			if n := p.pods(p.production, "app=web"); n != 5 {
				t.Errorf("%d pods are left, the autoscaler wants 5", n)
			}
		})
	}
}

const scaler = `---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: %d
  maxReplicas: 9
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`

// A drain evicts every pod of a node, as its budgets allow; the pods come back
// elsewhere, here on the same node.
func TestPromote_outlivesADrain(t *testing.T) {
	p, wait := underway(t, "canary at 50%: 50.0% reached", nil)
	least, load := p.least(), loadgen.Start(p.url(p.production), 100, true)
	pods, err := p.Client.Kube.CoreV1().Pods(p.production).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		p.evict(pod)
	}
	o := wait()
	counts, fewest := load.Stop(), least()
	if o.Exit != 0 || counts.Failed > 0 || fewest < 2 {
		t.Errorf("promote ended with exit code %d; requests: %v; at times only %d pods were ready, there were 2 before; its log:\n%s", o.Exit, counts, fewest, o.Log)
	}
	p.settled(p.image("2"))
}

func (p *place) evict(pod corev1.Pod) {
	p.t.Helper()
	eventually(p.t, "the eviction of "+pod.Name, func(ctx context.Context) bool {
		err := p.Client.Kube.PolicyV1().Evictions(p.production).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: p.production}})
		return err == nil || apierrors.IsNotFound(err)
	})
}

func TestPromote_outlivesAnAPIServerThatIsAwayForTwentySeconds(t *testing.T) {
	t.Run("while the canary is watched", func(t *testing.T) {
		p := newPlace(t)
		p.away("canary at 50%: 50.0% reached")
	})
	t.Run("while the new version takes over", func(t *testing.T) {
		p := newPlace(t)
		p.away("updated Deployment web")
	})
}

// away promotes while the API server goes away for 20 s once the log has said
// the word. Whatever becomes of the promotion, no user may notice, and one
// version must serve in the end.
func (p *place) away(word string) {
	p.t.Helper()
	p.deploy(p.image("1"), nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(p.image("2"), nil)
	gate := p.gated()
	load := loadgen.Start(p.url(p.production), 50, true)
	wait := p.until(word, map[string]string{"steps": "50%", "step-duration": "30s", "analysis": "restarts < 1"})
	gate.away(p.t, 20*time.Second)
	o := wait()
	if o.Exit != 0 {
		p.t.Errorf("promote ended with exit code %d; its log:\n%s", o.Exit, o.Log)
	}
	if counts := load.Stop(); counts.Failed > 0 {
		p.t.Errorf("requests: %v", counts)
	}
	p.settled(p.image("2"))
}

// The moments at which traffic moves.
func TestPromote_outlivesAnAPIServerThatIsAwayWhileTrafficMoves(t *testing.T) {
	t.Run("by a gateway", func(t *testing.T) {
		g := newGated(t, testcluster.SharedGateway)
		g.deploy(g.image("1"), nil)
		g.promote(0, map[string]string{"watch": "0s"})
		g.deploy(g.image("2"), nil)
		g.absent("web-canary: serving", 0, g.load(50), g.inputs(map[string]string{"steps": "50%", "watch": "1s"}))
		g.plain(g.image("2"))
		g.home()
	})
	t.Run("in a switch", func(t *testing.T) {
		p := newPlace(t)
		p.twice()
		p.absent("green without traffic: pass", 0, loadgen.Start(p.url(p.production), 50, true), blueGreen(map[string]string{"watch": "1s"}))
		p.plain(p.image("2"))
	})
	t.Run("back, in an undo", func(t *testing.T) {
		p := newPlace(t)
		p.twice()
		prometheus := newOracle(t)
		prometheus.says("bad")()
		p.absent("restored Deployment web", 1, loadgen.Start(p.url(p.production), 50, true), prometheus.asked("strategy", "rolling"))
		p.plain(p.image("1"))
		if live, _ := p.history("production", p.production).Live(); live.Revision != 1 {
			t.Errorf("release %d is live, want 1", live.Revision)
		}
	})
}

// twice has version 1 in production and version 2 in staging.
func (p *place) twice() {
	p.t.Helper()
	p.deploy(p.image("1"), nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(p.image("2"), nil)
}

// absent promotes under load, and lets the API server go away for 20 s at the
// word: no request may be lost by it.
func (p *place) absent(word string, exit int, load *loadgen.Load, inputs map[string]string) {
	p.t.Helper()
	gate := p.gated()
	wait := p.until(word, inputs)
	gate.away(p.t, 20*time.Second)
	o := wait()
	if o.Exit != exit {
		p.t.Errorf("promote ended with exit code %d, want %d; its log:\n%s", o.Exit, exit, o.Log)
	}
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent < 1000 {
		p.t.Errorf("requests: %v; the log:\n%s", counts, o.Log)
	}
}

// Pods that tell their requests no more, in the middle of a step.
func TestPromote_abortsWhenMetricsVanishInTheMiddle(t *testing.T) {
	p := newPlace(t)
	p.twice()
	gate := p.gated()
	load := loadgen.Start(p.url(p.production), 50, true)
	wait := p.until("canary at 50%: 50.0% reached", map[string]string{"steps": "50%", "step-duration": "40s", "analysis": "error-rate < 5%", "metrics": "pods"})
	told := gate.passed("/proxy/metrics")
	eventually(t, "metrics of the step", func(context.Context) bool { return gate.passed("/proxy/metrics") >= told+4 })
	gate.refuse("/proxy/metrics")
	o := wait()
	if counts := load.Stop(); o.Exit != 1 || counts.Failed > 0 {
		t.Errorf("promote ended with exit code %d; requests: %v", o.Exit, counts)
	}
	outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "inconclusive"})
	contains(t, o.Log, "no pod has told its metrics for 10s", "release 1 serves")
	p.plain(p.image("1"))
}

// The second of two waits until the first has ended, canary and all.
func TestPromote_waitsWhileACanaryStands(t *testing.T) {
	p := newPlace(t)
	p.twice()
	wait := p.until("canary at 50%: 50.0% reached", map[string]string{"steps": "50%", "step-duration": "5s"})
	second := p.run(0, "promote", map[string]string{"steps": "50%"})
	if first := wait(); first.Exit != 0 {
		t.Errorf("the first ended with exit code %d; its log:\n%s", first.Exit, first.Log)
	}
	contains(t, second.Log, "waiting: web is being changed by e2e")
	outputs(t, second, map[string]string{"status": "unchanged", "release": "2"})
	p.plain(p.image("2"))
}

func TestPromote_withoutStagingsRecordIsRefused(t *testing.T) {
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	secrets, err := p.Client.Kube.CoreV1().Secrets(p.staging).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets.Items {
		if s.Type == "fibership.dev/release" {
			if err := p.Client.Kube.CoreV1().Secrets(p.staging).Delete(t.Context(), s.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := p.run(1, "promote", nil)
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "was ever released")
	p.nothing(p.production)
}
