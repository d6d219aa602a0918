package workflows

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/release"
)

// TestWorkflows is the life of a service, told by its workflows one after the
// other: each goes on from where the one before left production.
func TestWorkflows(t *testing.T) {
	p := newPlace(t)
	var first, second string
	for _, chapter := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"the pipeline ships a commit", func(t *testing.T) { first = p.ships(t) }},
		{"actions work as stages of one step and one by one", func(t *testing.T) { second = p.shipsInOneStep(t) }},
		{"the form shows what it would do", func(t *testing.T) { p.showsRollback(t, first, second) }},
		{"the form brings an earlier release back", func(t *testing.T) { p.rollsBack(t, first) }},
		{"what fails in staging goes no further", func(t *testing.T) { p.stopsInStaging(t, first, second) }},
		{"what fails in production is taken back", func(t *testing.T) { p.takesBack(t, first) }},
		{"what a killed promotion left is settled", func(t *testing.T) { p.settles(t, first) }},
	} {
		if !t.Run(chapter.name, chapter.test) {
			t.FailNow()
		}
	}
}

func (p *place) ships(t *testing.T) (image string) {
	o := p.run(t, "ship.yml", "push", nil, map[string]string{
		"build": "success", "staging": "success", "production": "success", "report": "success",
	})
	image = o.Output("build", "build", "image")
	if !strings.HasPrefix(image, p.image+"@sha256:") {
		t.Fatalf("image = %q, want one of %s", image, p.image)
	}
	wantOutputs(t, o, map[string]string{
		"build build changed":           "true",
		"staging deploy image":          image,
		"staging deploy release":        "1",
		"staging deploy status":         "succeeded",
		"production promote image":      image,
		"production promote release":    "1",
		"production promote status":     "succeeded",
		"production promote verdict":    "pass",
		"report report shipped":         image + " as 1: succeeded, pass", // the called workflow's own outputs
		"production promote digest":     o.Output("build", "build", "digest"),
		"staging deploy previous-image": "",
	})
	for job, word := range map[string]string{"build": "Image pushed", "staging": "greeter in staging is release 1", "production": "greeter in production is release 1"} {
		if summary := o.Summary(job); !strings.Contains(summary, word) {
			t.Errorf("the summary of %s does not tell %q:\n%s", job, word, summary)
		}
	}
	// As root it would fall back to what it says, and work all the same.
	if strings.Contains(o.Raw, "run as root") {
		t.Error("build-image ran the service's tests as root")
	}
	p.wantRunning(t, p.staging, image)
	p.wantRunning(t, p.production, image)
	return image
}

func (p *place) shipsInOneStep(t *testing.T) (image string) {
	p.version(t, "2", "")
	o := p.run(t, "small.yml", "push", nil, map[string]string{"whole": "success", "single": "success"})
	image = o.Output("whole", "fibership/build-image", "image")
	wantOutputs(t, o, map[string]string{
		"whole fibership/deploy-staging release": "2",
		"whole fibership/promote release":        "2",
		"whole report images":                    strings.Join([]string{image, image, image}, " "),
		"whole report status":                    "succeeded",
		"whole report release":                   "2",
		"single deploy release":                  "1",
		"single deploy status":                   "succeeded",
		"single deploy image":                    p.image + "-single@" + o.Output("whole", "fibership/build-image", "digest"), // the same program
		"single build tags":                      "edge\nv1",
	})
	p.wantRunning(t, p.production, image)
	return image
}

func (p *place) showsRollback(t *testing.T, first, second string) {
	o := p.run(t, "back.yml", "workflow_dispatch", map[string]string{"to": "previous", "dry-run": "true"}, map[string]string{"rollback": "success"})
	wantOutputs(t, o, map[string]string{
		"rollback rollback status":           "planned",
		"rollback rollback restored-release": "1",
		"rollback rollback image":            first,
	})
	p.wantRunning(t, p.production, second)
	if r := p.newest(t, "production", p.production); r.Revision != 2 {
		t.Errorf("a dry run recorded release %d", r.Revision)
	}
}

// rollsBack runs rollback.yml as it is, from the user's own repository.
func (p *place) rollsBack(t *testing.T, first string) {
	form, err := os.ReadFile(filepath.Join(p.act.rig.Root, ".github", "workflows", "rollback.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.checkout, ".github", "workflows", "rollback.yml"), form, 0o644); err != nil {
		t.Fatal(err)
	}
	p.commit(t)
	o := p.run(t, "rollback.yml", "workflow_dispatch", map[string]string{
		"service": "greeter", "environment": "production", "namespace": p.production, "to": "1", "reason": "nobody liked version 2", "dry-run": "false",
	}, map[string]string{"rollback": "success"})
	wantOutputs(t, o, map[string]string{
		"rollback rollback status":           "succeeded",
		"rollback rollback release":          "3",
		"rollback rollback restored-release": "1",
		"rollback rollback image":            first,
	})
	p.wantRunning(t, p.production, first)
	if r := p.newest(t, "production", p.production); r.Reason != "nobody liked version 2" || r.Restored != 1 {
		t.Errorf("the release recorded is %+v", r)
	}
}

func (p *place) stopsInStaging(t *testing.T, first, second string) {
	p.version(t, "3", "staging")
	o := p.run(t, "ship.yml", "push", nil, map[string]string{"build": "success", "staging": "failure"})
	wantOutputs(t, o, map[string]string{
		"staging deploy status":         "rolled-back",
		"staging deploy previous-image": second,
	})
	if !strings.Contains(o.Log(), "restored from fibership-push-Linux-greeter-") {
		t.Error("the build did not get the caches of the one before")
	}
	if !strings.Contains(o.Summary("staging"), "version 3 does not work in staging") {
		t.Errorf("the summary does not show what the service said at its end:\n%s", o.Summary("staging"))
	}
	p.wantRunning(t, p.staging, second)
	p.wantRunning(t, p.production, first)
}

func (p *place) takesBack(t *testing.T, first string) {
	p.version(t, "4", "production")
	o := p.run(t, "ship.yml", "push", nil, map[string]string{
		"build": "success", "staging": "success", "production": "failure", "settle": "success",
	})
	wantOutputs(t, o, map[string]string{
		"staging deploy status":     "succeeded",
		"production promote status": "rolled-back",
		"production promote image":  o.Output("build", "build", "image"),
	})
	if verdict := o.Output("production", "promote", "verdict"); verdict != "fail" {
		t.Errorf("verdict = %q", verdict)
	}
	p.wantRunning(t, p.production, first)
	if r := p.newest(t, "production", p.production); r.Status != release.RolledBack {
		t.Errorf("the aborted release is recorded as %s", r.Status)
	}
}

// settles lets the promotion's container die while its canary serves: nobody
// but the pipeline's last job is there to take that back.
func (p *place) settles(t *testing.T, first string) {
	p.version(t, "5", "")
	killed := p.killBesideCanary(t)
	o := p.run(t, "ship.yml", "push", nil, map[string]string{
		"build": "success", "staging": "success", "production": "failure", "settle": "success",
	})
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	if status := o.Output("production", "promote", "status"); status != "" {
		t.Errorf("the promotion was killed and still told its status, %q", status)
	}
	r := p.newest(t, "production", p.production)
	if r.Status != release.RolledBack || r.Image != o.Output("build", "build", "image") || !strings.Contains(r.Failure, "the run died at step") {
		t.Errorf("release %d of %s is recorded as %s: %s", r.Revision, r.Image, r.Status, r.Failure)
	}
	if left := fmt.Sprintf("release %d was left at step", r.Revision); !strings.Contains(o.LogOf("settle"), left) {
		t.Errorf("the last job does not tell %q:\n%s", left, o.LogOf("settle"))
	}
	p.wantRunning(t, p.production, first)
}
