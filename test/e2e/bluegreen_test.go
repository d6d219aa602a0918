package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
)

// blueGreen are the inputs of a promotion by blue-green.
func blueGreen(more map[string]string) map[string]string {
	all := map[string]string{"strategy": "blue-green", "watch": "4s", "step-duration": "2s"}
	for name, value := range more {
		all[name] = value
	}
	return all
}

func TestBlueGreen_switchesUnderLoadAndLosesNoRequest(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", blueGreen(map[string]string{"watch": "0s"}))
	p.deploy(two, nil)
	load := loadgen.Start(p.url(p.production), 100, true)
	o := p.run(0, "promote", blueGreen(map[string]string{"analysis": "restarts < 1\nerror-rate < 1%", "metrics": "pods", "on-inconclusive": "hold"}))
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2", "verdict": "pass", "weight": "100", "previous-image": one})
	contains(t, o.Log, "green stands beside", "green at 100%: 100.0% reached")
	p.plain(two)

	p.run(0, "rollback", nil)
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent < 1000 {
		t.Errorf("requests: %v", counts)
	}
	p.plain(one)
	// Nothing that steered makes the next run believe that something changed.
	p.deploy(one, nil)
	o = p.run(0, "promote", blueGreen(nil))
	outputs(t, o, map[string]string{"status": "unchanged"})
}

func TestBlueGreen_switchesBackAtOnceWhenTheWatchFails(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", blueGreen(map[string]string{"watch": "0s"}))
	p.deploy(two, nil)
	url := p.url(p.production)
	load := loadgen.Start(url, 50, true)
	o := p.run(1, "promote", blueGreen(map[string]string{
		"env": "FAIL_RATE=0.5", "analysis": "error-rate < 5%", "metrics": "pods", "watch": "5m",
	}))
	load.Stop()
	outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "fail", "release": "2"})
	contains(t, o.Log, "error-rate", "release 1 serves")
	p.plain(one)
	h := p.history("production", p.production)
	if live, _ := h.Live(); live.Revision != 1 || h[0].Steered != nil || h[0].TookBack {
		t.Errorf("release %d is live; release 2 is %+v", live.Revision, h[0])
	}
	if bad := h[0].Ended.Sub(h[0].Started); bad > 3*time.Minute { // well before the watch ends
		t.Errorf("it took %v", bad)
	}
	p.deploy(one, nil)
	outputs(t, p.run(0, "promote", blueGreen(nil)), map[string]string{"status": "unchanged"})
}

func TestBlueGreen_isNotSwitchedToWhileItIsIll(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", blueGreen(map[string]string{"watch": "0s"}))
	p.deploy(two, nil)
	load := loadgen.Start(p.url(p.production), 50, true)
	o := p.run(1, "promote", blueGreen(map[string]string{"env": "CRASH_AFTER=4s", "step-duration": "20s"}))
	if counts := load.Stop(); counts.Failed > 0 {
		t.Errorf("requests: %v", counts)
	}
	outputs(t, o, map[string]string{"status": "rolled-back", "weight": "0"})
	if strings.Contains(o.Log, "green at 100%") {
		t.Errorf("it was switched to:\n%s", o.Log)
	}
	p.plain(one)
}

func TestBlueGreen_refusesALiveVersionThatIsHalfRolledOut(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", blueGreen(map[string]string{"watch": "0s"}))
	deployments := p.Client.Kube.AppsV1().Deployments(p.production)
	d, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.Spec.Template.Spec.Containers[0].Env = append(d.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "UNREADY", Value: "true"})
	if _, err := deployments.Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pod of a third version", func(context.Context) bool { return p.pods(p.production, "app.kubernetes.io/name=web") == 3 })
	p.deploy(two, nil)
	o := p.run(1, "promote", blueGreen(nil))
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "deployment web is not fully rolled out")
	if h := p.history("production", p.production); len(h) != 1 || h[0].Status != release.Succeeded {
		t.Errorf("history = %+v", h)
	}
}

// plain wants production to run one image, with nothing beside it and nothing
// left of how its traffic was led.
func (p *place) plain(image string) {
	p.t.Helper()
	p.settled(image)
	if pods := p.pods(p.production, "fibership.dev/track=canary"); pods > 0 {
		p.t.Errorf("%d pods stand beside", pods)
	}
	services, err := p.Client.Kube.CoreV1().Services(p.production).List(p.t.Context(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range services.Items {
		if s.Spec.Selector["pod-template-hash"] != "" || s.Spec.Selector["fibership.dev/track"] != "" && !strings.HasSuffix(s.Name, "-canary") {
			p.t.Errorf("service %s selects %v", s.Name, s.Spec.Selector)
		}
	}
}

func TestBlueGreen_goesBackWhenSomebodyChangesTheLiveVersion(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", blueGreen(map[string]string{"watch": "0s"}))
	p.deploy(two, nil)
	load := loadgen.Start(p.url(p.production), 50, true)
	promotion, err := p.step("promote", blueGreen(map[string]string{"watch": "2m"})).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the switch", func(ctx context.Context) bool {
		s, err := p.Client.Kube.CoreV1().Services(p.production).Get(ctx, "web", metav1.GetOptions{})
		return err == nil && s.Spec.Selector["fibership.dev/track"] != ""
	})
	deployments := p.Client.Kube.AppsV1().Deployments(p.production)
	patch := `[{"op":"add","path":"/spec/template/metadata/annotations","value":{"by":"hand"}}]`
	if _, err := deployments.Patch(t.Context(), "web", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	o, err := promotion.Wait()
	if err != nil || o.Exit != 1 {
		t.Fatalf("promote ended with %d, %v; its log:\n%s", o.Exit, err, o.Log)
	}
	if counts := load.Stop(); counts.Failed > 0 {
		t.Errorf("requests: %v", counts)
	}
	outputs(t, o, map[string]string{"status": "rolled-back"})
	contains(t, o.Log, "deployment web, which is live, was changed by somebody else meanwhile")
	p.plain(one)
}
