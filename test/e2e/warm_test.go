package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
)

// It holds a time to its bound, so it does not share the machine with others.
func TestRollback_toAWarmVersionTurnsTrafficAtOnce(t *testing.T) {
	p := newPlaceAlone(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s", "env": "UNREADY=8s"})
	p.deploy(two, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "keep-previous": "5m"})
	if n := p.pods(p.production, "fibership.dev/warm"); n != 2 {
		t.Fatalf("%d pods are warm, want 2", n)
	}
	url := p.url(p.production)
	if answer := p.get(url); !strings.Contains(answer, `"version":"2"`) {
		t.Fatalf("the service answers %s, want version 2 alone", answer)
	}
	eventually(t, "the warm pods to be ready", func(ctx context.Context) bool { return p.warmReady(ctx) })

	p.warmEndsIn(12 * time.Second) // the restored pods take longer to serve
	watch := follow(t, url, `"version":"2"`)
	load := loadgen.Start(url, 50, true)
	began := time.Now()
	o := p.run(0, "rollback", nil)
	last := watch()
	if counts := load.Stop(); counts.Failed > 0 {
		t.Errorf("requests: %v", counts)
	}
	outputs(t, o, map[string]string{"status": "succeeded", "restored-release": "1", "image": one})
	contains(t, o.Log, "all traffic is on release 1, which was kept warm")
	if bad := last.Sub(began); bad > 3*time.Second {
		t.Errorf("version 2 answered until %v after the start, want 3 s at the most", bad)
	}
	if images := p.images(p.production); len(images) != 1 || images[0] != one {
		t.Errorf("pods run %v, want %s alone", images, one)
	}
	eventually(t, "nothing to be kept warm", func(context.Context) bool { return p.pods(p.production, "fibership.dev/warm") == 0 })
	p.answers(p.production, `"version":"1"`)
}

// warmEndsIn lets the cluster end what is kept warm so much later.
func (p *place) warmEndsIn(left time.Duration) {
	p.t.Helper()
	jobs := p.Client.Kube.BatchV1().Jobs(p.production)
	list, err := jobs.List(p.t.Context(), metav1.ListOptions{LabelSelector: "fibership.dev/warm"})
	if err != nil || len(list.Items) == 0 {
		p.t.Fatalf("%d Jobs keep pods warm, %v", len(list.Items), err)
	}
	for _, j := range list.Items {
		seconds := int64((time.Since(j.Status.StartTime.Time) + left).Seconds())
		patch := fmt.Sprintf(`{"spec":{"activeDeadlineSeconds":%d}}`, seconds)
		if _, err := jobs.Patch(p.t.Context(), j.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// follow asks again and again until the returned function is called, which
// gives the time of the last answer that held the word.
func follow(t *testing.T, url, word string) (stop func() time.Time) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var last time.Time
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			if answer, err := ask(ctx, fresh, url); err == nil && strings.Contains(answer, word) {
				last = time.Now()
			}
		}
	})
	return func() time.Time {
		cancel()
		group.Wait()
		return last
	}
}

func TestDeploy_refusesACommitOlderThanTheOneLive(t *testing.T) {
	p := newPlace(t)
	p.committed = "2026-11-20T12:00:00Z"
	p.deploy(p.image("2"), nil)
	p.committed = "2026-11-20T11:00:00Z"
	o := p.run(1, "deploy-staging", map[string]string{"image": p.image("1")})
	contains(t, o.Log, "which is live as release 1", "allow-older: true")
	outputs(t, o, map[string]string{"status": "refused"})
	p.deploy(p.image("1"), map[string]string{"allow-older": "true"})
	if h := p.history("staging", p.staging); h[0].Status != release.Succeeded || h[0].Committed.IsZero() {
		t.Errorf("release 2 = %+v", h[0])
	}
}
