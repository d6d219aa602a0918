package e2e

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// halfway brings version 1 to production and begins to promote version 2; it
// returns when the canary of that promotion has pods.
func (p *place) halfway() (one, two string, promotion *runner.Process) {
	p.t.Helper()
	one, two = p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(two, nil)
	promotion, err := p.step("promote", map[string]string{"step-duration": "5m", "steps": "50%"}).Start(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "a canary", func(context.Context) bool { return p.pods(p.production, "fibership.dev/track=canary") > 0 })
	return one, two, promotion
}

// It holds a time to its bound, so it does not share the machine with others.
func TestPromote_cancelledReturnsInTime(t *testing.T) {
	p := newPlaceAlone(t)
	one, _, promotion := p.halfway()
	began := time.Now()
	if err := promotion.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	o, err := promotion.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); o.Exit != 130 || took > 7*time.Second {
		t.Errorf("cancelled promote ended with %d after %v, want 130 within 7 s; its log:\n%s", o.Exit, took, o.Log)
	}
	outputs(t, o, map[string]string{"status": "rolled-back"})
	if h := p.history("production", p.production); h[0].Status != release.RolledBack {
		t.Errorf("release %d is %s, want rolled-back", h[0].Revision, h[0].Status)
	}
	// Within the runner's grace nobody waits for the cluster's collector.
	eventually(t, "the canary's end", func(context.Context) bool { return p.pods(p.production, "fibership.dev/track=canary") == 0 })
	p.settled(one)
}

func TestPromote_killedIsSettledByTheNextRun(t *testing.T) {
	p := newPlace(t)
	one, _, promotion := p.halfway()
	if err := promotion.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := promotion.Wait(); err != nil {
		t.Fatal(err)
	}
	if under := p.history("production", p.production).Underway(); len(under) != 1 {
		t.Fatalf("%d releases are under way after the kill, want 1", len(under))
	}
	load := loadgen.Start(p.url(p.production), 50, true)
	o := p.run(0, "rollback", map[string]string{"to": "live"})
	if counts := load.Stop(); counts.Failed > 0 {
		t.Errorf("requests: %v", counts)
	}
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})
	contains(t, o.Log, "left at step")
	p.settled(one)
}

func TestDeploy_killedIsSettledByTheNextDeploy(t *testing.T) {
	p := newPlace(t)
	one, two, three := p.image("1"), p.image("2"), p.image("3")
	p.deploy(one, nil)
	deploy, err := p.step("deploy-staging", map[string]string{"image": two, "env": "UNREADY=true"}).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pod of version 2", func(context.Context) bool { return len(p.images(p.staging)) > 1 })
	if err := deploy.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := deploy.Wait(); err != nil {
		t.Fatal(err)
	}
	o := p.deploy(three, nil)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3", "previous-release": "1"})
	h := p.history("staging", p.staging)
	if h[1].Status != release.RolledBack || !strings.Contains(h[1].Failure, "died") {
		t.Errorf("the killed release is %s (%s), want rolled-back", h[1].Status, h[1].Failure)
	}
}

// settled wants production to run one image and nothing beside it.
func (p *place) settled(image string) {
	p.t.Helper()
	if images := p.images(p.production); len(images) != 1 || images[0] != image {
		p.t.Errorf("pods run %v, want %s alone", images, image)
	}
	if under := p.history("production", p.production).Underway(); len(under) > 0 {
		p.t.Errorf("%d releases are under way still", len(under))
	}
}
