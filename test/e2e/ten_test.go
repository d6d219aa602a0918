package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/runner"
)

// told is the line by which those who wait learn their place.
var told = regexp.MustCompile(`waiting: web is being changed by e2e since ([0-9:]+) \(place (\d+) in the line\)`)

func TestDeploy_tenAtOnceGoOneAfterTheOther(t *testing.T) {
	p := newPlace(t)
	image := p.image("1")
	outcomes := make([]runner.Outcome, 10)
	var group sync.WaitGroup
	for i := range outcomes {
		group.Go(func() {
			o, err := p.step("deploy-staging", map[string]string{
				"image": image, "env": fmt.Sprintf("GREET=number %d", i), "replicas": "1", "timeout": "5m",
			}).Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			outcomes[i] = o
		})
	}
	group.Wait()

	h := p.history("staging", p.staging)
	if len(h) != len(outcomes) {
		t.Fatalf("%d releases, want %d: %+v", len(h), len(outcomes), h)
	}
	for i, r := range h {
		if r.Status != release.Succeeded {
			t.Errorf("release %d is %s: %s", r.Revision, r.Status, r.Failure)
		}
		if i > 0 && h[i-1].Started.Before(r.Ended) {
			t.Errorf("release %d began at %v, before release %d ended at %v", h[i-1].Revision, h[i-1].Started, r.Revision, r.Ended)
		}
	}
	waited := inOrder(t, outcomes)
	if waited != len(outcomes)-1 {
		t.Errorf("%d were told that they wait, want %d", waited, len(outcomes)-1)
	}

	last := slices.IndexFunc(outcomes, func(o runner.Outcome) bool { return o.Outputs["release"] == "10" })
	if last < 0 {
		t.Fatal("nobody made release 10")
	}
	pods, err := p.Client.Kube.CoreV1().Pods(p.staging).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		for _, e := range pod.Spec.Containers[0].Env {
			if want := fmt.Sprintf("number %d", last); e.Name == "GREET" && e.Value != want {
				t.Errorf("pod %s is of %q, want %q, the last in line", pod.Name, e.Value, want)
			}
		}
	}
}

// inOrder wants the places that were told to be kept: of those who waited for
// the same holder, whoever stood before another released before him. It gives
// how many waited.
func inOrder(t *testing.T, outcomes []runner.Outcome) int {
	t.Helper()
	type waiter struct{ place, release int }
	lines := map[string][]waiter{} // by the holder, which the time it began tells
	waited := 0
	for _, o := range outcomes {
		number, err := strconv.Atoi(o.Outputs["release"])
		if err != nil || o.Exit != 0 {
			t.Errorf("a deploy ended with exit code %d and release %q; its log:\n%s", o.Exit, o.Outputs["release"], o.Log)
			continue
		}
		last := map[string]int{}
		for _, m := range told.FindAllStringSubmatch(o.Log, -1) {
			last[m[1]], _ = strconv.Atoi(m[2])
		}
		for holder, place := range last {
			lines[holder] = append(lines[holder], waiter{place, number})
		}
		if len(last) > 0 {
			waited++
		}
	}
	for holder, line := range lines {
		slices.SortFunc(line, func(a, b waiter) int { return a.place - b.place })
		if !slices.IsSortedFunc(line, func(a, b waiter) int { return a.release - b.release }) {
			t.Errorf("those who waited for the holder since %s (place, release): %v", holder, line)
		}
	}
	return waited
}
