package e2e

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/test/runner"
)

// Who is called to a bad release first tries what is at hand. That must not
// stand in the way of a rollback.
func TestRollback_takesBackWhatFirstAidChanged(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	rolling := map[string]string{"strategy": "rolling", "watch": "0s", "env": "GREET=hello"}
	for _, image := range []string{one, two} {
		p.deploy(image, nil)
		p.run(0, "promote", rolling)
	}
	// As kubectl scale and kubectl set env write it.
	deployments := p.Client.Kube.AppsV1().Deployments(p.production)
	for patch, options := range map[string]metav1.PatchOptions{
		`{"spec":{"replicas":4}}`: {FieldManager: "kubectl"},
		`{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"GREET","value":"help"}]}]}}}}`: {FieldManager: "kubectl-set"},
	} {
		if _, err := deployments.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(patch), options); err != nil {
			t.Fatal(err)
		}
	}

	o := p.run(0, "rollback", map[string]string{"dry-run": "true"})
	outputs(t, o, map[string]string{"status": "planned", "restored-release": "1"})
	o = p.run(0, "rollback", nil)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3", "restored-release": "1", "image": one})
	contains(t, o.Log, "fields are taken back", "kubectl-set")
	p.answers(p.production, "hello")
	if n := *p.web().Spec.Replicas; n != 4 {
		t.Errorf("%d pods were asked for, want the 4 that somebody found necessary", n)
	}
}

// web is the live Deployment in production.
func (p *place) web() *appsv1.Deployment {
	p.t.Helper()
	d, err := p.Client.Kube.AppsV1().Deployments(p.production).Get(p.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// Two people who go back from the same bad release want the same.
func TestRollback_askedForByTwoIsMadeOnce(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	for _, image := range []string{one, two} {
		p.deploy(image, nil)
		p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	}
	type ended struct {
		runner.Outcome
		err error
	}
	both := make(chan ended, 2)
	for range 2 {
		go func() {
			o, err := p.step("rollback", nil).Run(t.Context())
			both <- ended{o, err}
		}()
		time.Sleep(200 * time.Millisecond) // both see the bad release live, one after the other
	}
	statuses := map[string]int{}
	for range 2 {
		o := <-both
		if o.err != nil || o.Exit != 0 {
			t.Fatalf("exit code %d, %v; the log:\n%s", o.Exit, o.err, o.Log)
		}
		statuses[o.Outputs["status"]]++
	}
	if statuses["succeeded"] != 1 || statuses["unchanged"] != 1 {
		t.Errorf("the rollbacks ended as %v", statuses)
	}
	p.settled(one)
}
