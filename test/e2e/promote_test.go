package e2e

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

func TestPromote_refusesWhatDidNotPass(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	o := p.run(1, "promote", nil)
	contains(t, o.Log, "nothing of web in staging was ever released")
	outputs(t, o, map[string]string{"status": "refused", "verdict": "none"})

	p.deploy(one, nil)
	o = p.run(1, "promote", map[string]string{"image": two})
	contains(t, o.Log, "was never released")

	p.run(1, "deploy-staging", map[string]string{"image": two, "smoke-tests": "GET /status?code=404 => 200"})
	o = p.run(1, "promote", map[string]string{"image": two})
	contains(t, o.Log, "did not pass")
	p.nothing(p.production)
}

func TestPromote_refusesWhatDoesNotPassAnyMore(t *testing.T) {
	p := newPlace(t)
	one := p.image("1")
	p.deploy(one, nil)
	o := p.run(1, "deploy-staging", map[string]string{"image": one, "smoke-tests": "GET /status?code=404 => 200"})
	outputs(t, o, map[string]string{"status": "failed", "release": "1"})
	contains(t, o.Log, "does not pass any more")
	o = p.run(1, "promote", map[string]string{"strategy": "rolling"})
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "release 1 of web in staging passed, but not when it was tested again", "GET /status?code=404 => 200")
	p.nothing(p.production)

	o = p.deploy(one, nil)
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})
	o = p.run(0, "promote", map[string]string{"strategy": "rolling"})
	outputs(t, o, map[string]string{"status": "succeeded", "image": one})
}

func TestPromote_walksTheCanaryUnderLoadAndLosesNoRequest(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	o := p.run(0, "promote", map[string]string{"watch": "0s"})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "1", "image": one})

	p.deploy(two, nil)
	load := loadgen.Start(p.url(p.production), 100, true)
	o = p.run(0, "promote", map[string]string{"image": two, "steps": "25%,50%", "analysis": "restarts < 1\nerror-rate < 1%", "metrics": "probe", "on-inconclusive": "hold"})
	counts := load.Stop()
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2", "verdict": "pass", "weight": "100", "previous-image": one})
	contains(t, o.Log, "canary at 25%: 33.3% reached", "canary at 50%: 50.0% reached")
	if counts.Failed > 0 || counts.Sent < 500 {
		t.Errorf("requests: %v", counts)
	}
	if images := p.images(p.production); len(images) != 1 || images[0] != two {
		t.Errorf("pods run %v, want %s alone", images, two)
	}
	if pods := p.pods(p.production, "fibership.dev/track=canary"); pods > 0 {
		t.Errorf("%d canaries were left", pods)
	}
}

func TestPromote_abortsACanaryThatErrs(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(two, nil)
	load := loadgen.Start(p.url(p.production), 50, true)
	o := p.run(1, "promote", map[string]string{
		"env": "FAIL_RATE=0.5", "analysis": "error-rate < 5%", "metrics": "pods", "step-duration": "30s", "steps": "50%",
	})
	load.Stop()
	outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "fail", "weight": "50", "release": "2"})
	contains(t, o.Log, "error-rate", "release 1 serves")
	contains(t, o.Summary, `check "error-rate < 5%": fail`, "release 1 serves", "| ❌ | canary at 50% | `error-rate < 5%` |", "| new version | live version |", "FAIL_RATE")
	if images := p.images(p.production); len(images) != 1 || images[0] != one {
		t.Errorf("pods run %v, want %s alone", images, one)
	}
	live, _ := p.history("production", p.production).Live()
	if live.Revision != 1 {
		t.Errorf("release %d is live, want 1", live.Revision)
	}
}

func TestPromote_condemnsAVersionThatCannotRun(t *testing.T) {
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(p.image("2"), nil)
	o := p.run(1, "promote", map[string]string{"env": "CRASH_AFTER=0s"})
	outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "fail"})
	contains(t, o.Log, "exit code 3")
	p.settled(p.image("1"))
}

func TestPromote_withoutDataIsInconclusiveAndAborts(t *testing.T) {
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(p.image("2"), nil)
	o := p.run(1, "promote", map[string]string{"analysis": "error-rate < 5%", "metrics": "pods"})
	outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "inconclusive"})
}

func TestPromote_goesOneAtATime(t *testing.T) {
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	var group sync.WaitGroup
	outcomes := make([]runner.Outcome, 2)
	for i := range outcomes {
		group.Go(func() {
			// The two differ, so that the second has something to do as well.
			o, err := p.step("promote", map[string]string{"strategy": "rolling", "env": "GREET=" + strings.Repeat("x", i+1)}).Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			outcomes[i] = o
		})
	}
	group.Wait()
	h := p.history("production", p.production)
	if len(h) != 2 || h[0].Status != release.Succeeded || h[1].Status != release.Succeeded {
		t.Fatalf("history = %+v", h)
	}
	if h[0].Started.Before(h[1].Ended) {
		t.Errorf("release 2 began at %v, before release 1 ended at %v", h[0].Started, h[1].Ended)
	}
	contains(t, outcomes[0].Log+outcomes[1].Log, "waiting: web is being changed by e2e")
}

func TestPromote_keepsWhatEveryStepCameTo(t *testing.T) {
	const compared = "error-rate worse-than baseline by 50%"
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	o := p.run(2, "promote", map[string]string{"strategy": "rolling", "analysis": compared})
	contains(t, strings.Join(o.Errors(), "\n"), "analysis", "nothing stands beside")
	o = p.run(0, "promote", map[string]string{"analysis": compared, "watch": "1s"})
	outputs(t, o, map[string]string{"status": "succeeded", "verdict": "none"})
	contains(t, o.Outputs["checks"], compared, "first release: nothing to compare with", `"exempt":true`)
	p.deploy(p.image("2"), nil)
	// Nothing stands beside during the watch: what the canary came to is the verdict.
	o = p.run(0, "promote", map[string]string{"steps": "50%", "analysis": compared, "metrics": "probe", "on-inconclusive": "hold", "watch": "1s"})
	outputs(t, o, map[string]string{"status": "succeeded", "verdict": "pass"})
	contains(t, o.Summary, "| ✅ | canary at 50% | `"+compared+"` |")
	kept := p.history("production", p.production)[0].Checks
	if len(kept) != 2 || kept[0].Check != "rollout" || kept[1].Check != compared || kept[1].Step != "canary at 50%" || kept[1].Verdict != analysis.Pass {
		t.Errorf("the record keeps %+v", kept)
	}

	p.deploy(p.image("3"), nil)
	o = p.run(0, "promote", map[string]string{"steps": "25%,50%", "analysis": "restarts < 1\n" + compared, "metrics": "probe", "on-inconclusive": "hold", "watch": "1s"})
	outputs(t, o, map[string]string{"status": "succeeded", "verdict": "pass"})
	var steps []string
	for _, result := range decode[[]analysis.Result](t, o.Outputs["checks"]) {
		steps = append(steps, result.Step+": "+result.Check)
	}
	want := []string{
		": rollout", "canary at 25%: restarts < 1", "canary at 25%: " + compared, "canary at 50%: restarts < 1", "canary at 50%: " + compared, "watch: restarts < 1",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("checks = %q, want %q", steps, want)
	}
}

const worker = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  replicas: 2
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      containers: [{name: worker, image: IMAGE, env: [{name: PORT, value: "4000"}]}]
`

// What takes no request cannot fail one.
func TestPromote_measuresNoRequestsOfAWorker(t *testing.T) {
	p := newPlace(t)
	p.file("all.yaml", manifest+worker)
	p.deploy(p.image("1"), nil)
	o := p.run(0, "promote", map[string]string{
		"strategy": "rolling", "manifests": "all.yaml", "port": "3000", "metrics": "probe", "analysis": "error-rate < 1%\nrestarts < 1", "watch": "16s",
	})
	outputs(t, o, map[string]string{"status": "succeeded", "verdict": "pass"})
	if n := p.pods(p.production, "app=worker"); n != 2 {
		t.Errorf("%d workers, want 2", n)
	}
}
