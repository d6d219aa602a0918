package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
)

// job is a manifest of a Job that runs the release's image.
func job(name, annotations, args string) string {
	return fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %s, annotations: {%s}}
spec:
  template:
    spec:
      containers:
        - {name: %[1]s, image: IMAGE, args: [%[3]s]}
`, name, annotations, args)
}

// jobs is the names of the Jobs in a namespace that are not being removed.
func (p *place) jobs(namespace string) []string {
	p.t.Helper()
	list, err := p.Client.Kube.BatchV1().Jobs(namespace).List(p.t.Context(), metav1.ListOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			names = append(names, list.Items[i].Name)
		}
	}
	return names
}

const barrier = `fibership.dev/barrier: "true"`

func TestBefore_mustSucceedBeforeAnythingIsApplied(t *testing.T) {
	p := newPlace(t)
	p.file("migrate.yaml", job("migrate", "", "work, 1s, '0'"))
	p.file("fails.yaml", job("migrate", "", "work, 1s, '6'"))

	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "before": "fails.yaml"})
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "1"})
	contains(t, o.Log, "step 2", "exit code 6")
	contains(t, o.Summary, "exit code 6")
	if pods := p.pods(p.staging, ""); pods > 0 || len(p.images(p.staging)) > 0 {
		t.Errorf("%d pods are there after a migration that failed", pods)
	}

	o = p.deploy(p.image("1"), map[string]string{"before": "migrate.yaml"})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2"})
	contains(t, o.Log, "IMAGE_VERSION 1", "ends with 0")
	if before, applied := strings.Index(o.Log, "ends with 0"), strings.Index(o.Log, "created Deployment"); before < 0 || applied < before {
		t.Errorf("the Deployment was applied before the Job had ended:\n%s", o.Log)
	}
	outputs(t, p.deploy(p.image("1"), map[string]string{"before": "migrate.yaml"}), map[string]string{"status": "unchanged"})
	if left := p.jobs(p.staging); len(left) > 0 {
		t.Errorf("Jobs %v are left", left)
	}

	p.file("other.yaml", strings.ReplaceAll(manifest, "kind: ConfigMap", "kind: Gadget"))
	for path, c := range map[string]struct {
		exit int
		say  string
	}{"other.yaml": {1, "expected one Job"}, "nowhere.yaml": {2, "nowhere.yaml"}, "../x.yaml": {2, "outside"}} {
		o := p.run(c.exit, "deploy-staging", map[string]string{"image": p.image("2"), "before": path})
		contains(t, o.Log, c.say)
		outputs(t, o, map[string]string{"status": "refused"})
	}
}

func TestBefore_aBarrierIsNotRolledBackOver(t *testing.T) {
	p := newPlace(t)
	p.file("barrier.yaml", job("migrate", barrier, "work, 0s, '0'"))
	production := map[string]string{"strategy": "rolling", "watch": "0s"}
	p.deploy(p.image("1"), nil)
	p.run(0, "promote", production)
	p.deploy(p.image("2"), nil)
	o := p.run(0, "promote", with(production, "before", "barrier.yaml"))
	if record := decode[release.Record](t, o.Outputs["record"]); !record.Barrier {
		t.Errorf("record = %+v, want a barrier", record)
	}
	o = p.run(1, "rollback", nil)
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "release 2 is a barrier")
	p.settled(p.image("2"))
}

func TestBefore_aBarrierThatFailsAfterItIsKept(t *testing.T) {
	p := newPlace(t)
	p.file("barrier.yaml", job("migrate", barrier, "work, 0s, '0'"))
	p.deploy(p.image("1"), nil)
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("2"), "before": "barrier.yaml", "smoke-tests": "GET /status?code=404 => 200"})
	outputs(t, o, map[string]string{"status": "failed", "release": "2"})
	contains(t, o.Log, "release 2 is a barrier", "deploy a fix")
	if images := p.images(p.staging); len(images) != 1 || images[0] != p.image("2") {
		t.Errorf("pods run %v, want version 2 alone", images)
	}
	// What is not begun with the barrier in the record may still be undone to it, not behind it.
	o = p.run(1, "deploy-staging", map[string]string{"image": p.image("3"), "smoke-tests": "GET /status?code=404 => 200"})
	outputs(t, o, map[string]string{"status": "failed", "release": "3"})
	outputs(t, p.deploy(p.image("4"), nil), map[string]string{"status": "succeeded"})
}

// It holds a time to its bound, so it does not share the machine with others.
func TestBefore_cancelledTakesTheJobAwayInTime(t *testing.T) {
	p := newPlaceAlone(t)
	p.file("long.yaml", job("migrate", "", "work, 60s, '0'"))
	deploy, err := p.step("deploy-staging", map[string]string{"image": p.image("1"), "before": "long.yaml"}).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Job's pod", func(context.Context) bool { return p.pods(p.staging, "fibership.dev/job=before") > 0 })
	began := time.Now()
	if err := deploy.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	o, err := deploy.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); o.Exit != 130 || took > 7*time.Second {
		t.Errorf("ended with %d after %v, want 130 within 7 s; its log:\n%s", o.Exit, took, o.Log)
	}
	outputs(t, o, map[string]string{"status": "rolled-back"})
	if left := p.jobs(p.staging); len(left) > 0 {
		t.Errorf("Jobs %v are left", left)
	}
}

func TestBefore_killedIsSettledAndItsJobRemoved(t *testing.T) {
	p := newPlace(t)
	p.file("long.yaml", job("migrate", "", "work, 60s, '0'"))
	one := p.image("1")
	p.deploy(one, nil)
	deploy, err := p.step("deploy-staging", map[string]string{"image": p.image("2"), "before": "long.yaml"}).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Job's pod", func(context.Context) bool { return p.pods(p.staging, "fibership.dev/job=before") > 0 })
	if err := deploy.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := deploy.Wait(); err != nil {
		t.Fatal(err)
	}
	o := p.deploy(one, nil)
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})
	contains(t, o.Log, "removing Job migrate-", `left at step "before"`)
	if left, pods := p.jobs(p.staging), p.pods(p.staging, "fibership.dev/job"); len(left) > 0 || pods > 0 {
		t.Errorf("Jobs %v and %d pods are left", left, pods)
	}
	if h := p.history("staging", p.staging); h[0].Status != release.RolledBack {
		t.Errorf("the killed release is %s, want rolled-back", h[0].Status)
	}
}

func TestIntegration_itsExitIsTheVerdict(t *testing.T) {
	p := newPlace(t)
	p.file("test.yaml", job("ask", "", "fetch, 'SERVICE_URL/status?code=200'"))
	p.file("fails.yaml", job("ask", "", "fetch, 'SERVICE_URL/status?code=418'"))
	one := p.image("1")
	o := p.deploy(one, map[string]string{"integration-tests": "test.yaml"})
	contains(t, o.Log, "http://web."+p.staging+".svc:8080/status?code=200 answers 200")
	contains(t, o.Outputs["checks"], `"integration tests ask","verdict":"pass"`)

	o = p.run(1, "deploy-staging", map[string]string{"image": p.image("2"), "integration-tests": "fails.yaml"})
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "2", "previous-release": "1"})
	contains(t, o.Outputs["checks"], `"integration tests ask","verdict":"fail"`, "exit code 4")
	contains(t, o.Log, "answers 418")
	if images := p.images(p.staging); len(images) != 1 || images[0] != one {
		t.Errorf("pods run %v, want %s alone", images, one)
	}
	if left := p.jobs(p.staging); len(left) > 0 {
		t.Errorf("Jobs %v are left", left)
	}
}

func TestIntegration_endsWithItsDeadlineAndHidesWhatItWasGiven(t *testing.T) {
	p := newPlace(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "given"}, StringData: map[string]string{"WORD": "step 3"}}
	if _, err := p.Client.Kube.CoreV1().Secrets(p.staging).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	late := strings.ReplaceAll(job("ask", "", "work, 60s, '0'"), "spec:\n  template", "spec:\n  activeDeadlineSeconds: 20\n  template")
	p.file("late.yaml", strings.ReplaceAll(late, "image: IMAGE", "image: IMAGE, envFrom: [{secretRef: {name: given}}]"))
	began := time.Now()
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1"), "integration-tests": "late.yaml"})
	if took := time.Since(began); took > 100*time.Second {
		t.Errorf("a Job of twenty seconds took %v", took)
	}
	contains(t, o.Log, "step 2", "***", "activeDeadlineSeconds")
	if strings.Contains(o.Log, "step 3\n") {
		t.Errorf("what the Job's Secret holds is in the log:\n%s", o.Log)
	}
	outputs(t, o, map[string]string{"status": "rolled-back"})
}
