package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// flagFile has the flags of the example service.
const flagFile = `{"flags": {
  "new-checkout": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"},
  "payment": {"state": "ENABLED", "variants": {"house": "house", "fast": "fast", "faulty": "faulty"}, "defaultVariant": "house"}
}}`

// orders is the example service, compiled once.
var orders = sync.OnceValues(func() (string, error) {
	file := filepath.Join(bin, "orders")
	compile := exec.Command("go", "build", "-ldflags=-s -w", "-o", file, ".")
	compile.Dir = filepath.Join("..", "..", "examples", "orders")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := compile.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile the example: %w\n%s", err, out)
	}
	return file, nil
})

// example is the example service under a version of its own.
func (p *place) example(version string) string {
	p.t.Helper()
	file, err := orders()
	if err != nil {
		p.t.Fatal(err)
	}
	return testcluster.PushService(p.t, "e2e/orders", file, version)
}

// flagged deploys the example with its flags and brings it to production.
func flagged(t *testing.T) *place {
	t.Helper()
	p := newPlace(t)
	p.file("flags.json", flagFile)
	p.deploy(p.example("1"), withFlags(nil))
	p.run(0, "promote", withFlags(map[string]string{"strategy": "rolling", "watch": "1s"}))
	return p
}

func withFlags(inputs map[string]string) map[string]string {
	return with(inputs, "flags", "flags.json")
}

// shopped is one answer of the shop to a customer.
type shopped struct {
	at      time.Time
	express bool
	failed  bool
}

// customer asks as a customer how an order would be taken.
func (p *place) customer(ctx context.Context, url string, n int) (shopped, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"checkout", nil)
	if err != nil {
		return shopped{}, err
	}
	request.Header.Set("X-User", fmt.Sprintf("customer-%d", n))
	response, err := fresh.Do(request)
	if err != nil {
		return shopped{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return shopped{time.Now(), strings.Contains(string(body), `"express"`), response.StatusCode >= 500}, err
}

// express counts how many of so many customers have the new checkout; -1 where
// one got no answer, since nobody knows then.
func (p *place) express(ctx context.Context, customers int) int {
	url, n := p.url(p.production), 0
	for i := range customers {
		answer, err := p.customer(ctx, url, i)
		if err != nil {
			return -1
		}
		if answer.express {
			n++
		}
	}
	return n
}

// shoppers are 40 customers a second until the returned function is called,
// which gives what they were told.
func (p *place) shoppers() (stop func() []shopped) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	url := p.url(p.production)
	var all []shopped
	var group sync.WaitGroup
	group.Go(func() {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if answer, err := p.customer(ctx, url, n); err == nil {
				all = append(all, answer)
			}
		}
	})
	return func() []shopped {
		cancel()
		group.Wait()
		return all
	}
}

// newest is the newest release's record in production.
func (p *place) newest() release.Record {
	p.t.Helper()
	return p.history("production", p.production)[0]
}

func TestRamp_opensStepByStepAndStaysOpenOverOtherDeploys(t *testing.T) {
	p := flagged(t)
	if n := p.express(t.Context(), 200); n != 0 {
		t.Fatalf("%d of 200 have the new checkout before the ramp", n)
	}
	// The image is out already: there is nothing to do but to open the flag.
	o := p.run(0, "promote", withFlags(map[string]string{"ramp": "new-checkout: 25%", "dry-run": "true"}))
	contains(t, o.Log, "new-checkout=on: 25% is opened step by step")
	contains(t, o.Summary, "to be opened", "25%")
	stop := p.shoppers()
	o = p.run(0, "promote", withFlags(map[string]string{
		"ramp": "new-checkout: 25%, 100%", "step-duration": "5s", "analysis": "restarts < 1\nerror-rate < 5%\nerror-rate worse-than baseline by 1%", "metrics": "pods",
	}))
	answers := stop()
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2", "verdict": "pass"})
	contains(t, o.Log, "flag new-checkout at 25%: pass", "flag new-checkout at 100%: pass", "left out")
	contains(t, o.Summary, "`new-checkout`", "✅ 100%")
	if n := p.express(t.Context(), 200); n != 200 {
		t.Errorf("%d of 200 have the new checkout after the ramp", n)
	}
	if share := between(answers, p.newest().Ramp[0].Decided.Add(-9*time.Second), p.newest().Ramp[0].Decided.Add(-6*time.Second)); share < 0.05 || share > 0.6 {
		t.Errorf("%.0f%% had the new checkout at the step of 25%%", 100*share)
	}
	pods, err := p.Client.Kube.CoreV1().Pods(p.production).List(t.Context(), metav1.ListOptions{})
	if err != nil || pods.Items[0].Status.ContainerStatuses[0].RestartCount > 0 {
		t.Errorf("a pod was restarted: %v", err)
	}

	// An unrelated deploy, with the same file, closes nothing.
	p.deploy(p.example("2"), withFlags(nil))
	o = p.run(0, "promote", withFlags(map[string]string{"steps": "50%", "ramp": "new-checkout: 5%, 100%"}))
	contains(t, o.Log, "flag new-checkout stays at 100% (variant on), as the ramp of release 2 left it", "is as open as its ramp would make it")
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3"})
	if n := p.express(t.Context(), 200); n != 200 {
		t.Errorf("%d of 200 have the new checkout after another release", n)
	}
	o = p.run(0, "promote", withFlags(nil))
	outputs(t, o, map[string]string{"status": "unchanged", "release": "3"})

	// A rollback restores what its release's record holds: 1 before the ramp, 2 after it.
	p.run(0, "rollback", map[string]string{"to": "1"})
	eventually(t, "the flag to be closed", func(ctx context.Context) bool { return p.express(ctx, 200) == 0 })
	p.run(0, "rollback", map[string]string{"to": "2"})
	eventually(t, "the flag to be open", func(ctx context.Context) bool { return p.express(ctx, 200) == 200 })
	if shares := p.newest().Shares(); shares["new-checkout"].Reached != 100 {
		t.Errorf("the rollback's record says %+v", shares)
	}

	// Another definition begins as it says.
	p.file("flags.json", strings.Replace(flagFile, `"defaultVariant": "off"}`, `"defaultVariant": "off", "metadata": {"v": 2}}`, 1))
	o = p.run(0, "promote", withFlags(map[string]string{"strategy": "rolling"}))
	contains(t, o.Log, "flag new-checkout begins as the flag file says")
	eventually(t, "the flag to be closed", func(ctx context.Context) bool { return p.express(ctx, 200) == 0 })
}

// between is the share of customers with the new checkout in a span of time.
func between(answers []shopped, from, until time.Time) float64 {
	express, all := 0, 0
	for _, a := range answers {
		if a.at.After(from) && a.at.Before(until) {
			all++
			if a.express {
				express++
			}
		}
	}
	return float64(express) / float64(max(1, all))
}

func TestRamp_closesAFlagThatFailsWithinFiveSeconds(t *testing.T) {
	p := flagged(t)
	stop := p.shoppers()
	p.deploy(p.example("2"), withFlags(nil))
	o := p.run(1, "promote", withFlags(map[string]string{
		"strategy": "rolling", "ramp": "new-checkout: 50%\npayment=faulty: 30%, 100%", "analysis": "error-rate < 5%", "metrics": "pods", "step-duration": "20s", "watch": "4s",
		"on-inconclusive": "advance",
	}))
	eventually(t, "every customer to be served", func(ctx context.Context) bool { return p.served(ctx) })
	answers := stop()
	outputs(t, o, map[string]string{"status": "failed", "release": "2", "verdict": "fail", "weight": "100"})
	contains(t, strings.Join(o.Errors(), "\n"), "flag payment at 30%25: check ", "error-rate < 5%25", "flag payment was closed again, release 2 itself passed and stays")
	if strings.Contains(o.Log, "mend the new version") {
		t.Errorf("the advice is for a version that failed:\n%s", o.Log)
	}
	contains(t, o.Summary, "closed, failed at 30%", "as before: another flag failed", "is release 2, but a flag failed")
	r := p.newest()
	if r.Status != release.Succeeded || len(r.Ramp) != 2 || r.Ramp[1].Outcome != release.Closed || r.Ramp[0].Outcome != release.Returned || r.Ramp[1].Failure == "" {
		t.Fatalf("record: %s, %+v", r.Status, r.Ramp)
	}
	var bad int
	var last time.Time
	for _, a := range answers {
		if a.failed {
			bad++
			last = a.at
		}
	}
	took := last.Sub(r.Ramp[1].Decided)
	t.Logf("%d of %d answers failed, the last %v after the verdict", bad, len(answers), took)
	if bad == 0 || took > 5*time.Second {
		t.Errorf("the last failed answer came %v after the verdict, want 5 s at the most (%d failed)", took, bad)
	}
	if n := p.express(t.Context(), 200); n != 0 {
		t.Errorf("%d of 200 have the checkout whose flag is to be as before", n)
	}
	// It stays closed, and can be tried again.
	o = p.run(0, "promote", withFlags(map[string]string{"ramp": "payment=fast: 100%", "step-duration": "2s"}))
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3"})
}

// served says whether 60 customers in a row are.
func (p *place) served(ctx context.Context) bool {
	url := p.url(p.production)
	for n := range 60 {
		if answer, err := p.customer(ctx, url, n); err != nil || answer.failed {
			return false
		}
	}
	return true
}

func TestRamp_killedOrCancelledClosesTheFlagAndKeepsTheRelease(t *testing.T) {
	for name, signal := range map[string]os.Signal{"killed": syscall.SIGKILL, "cancelled": os.Interrupt} {
		t.Run(name, func(t *testing.T) {
			p := flagged(t)
			two := p.example("2")
			p.deploy(two, withFlags(nil))
			promotion, err := p.step("promote", withFlags(map[string]string{"strategy": "rolling", "ramp": "new-checkout: 50%, 100%", "step-duration": "5m"})).Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "half of the customers to have the new checkout", func(ctx context.Context) bool { return p.express(ctx, 200) > 50 })
			began := time.Now()
			if err := promotion.Signal(signal); err != nil {
				t.Fatal(err)
			}
			o, err := promotion.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if signal == os.Interrupt {
				if took := time.Since(began); o.Exit != 130 || took > 7*time.Second {
					t.Errorf("it ended with %d after %v, want 130 within 7 s", o.Exit, took)
				}
				outputs(t, o, map[string]string{"status": "failed", "release": "2"})
			} else {
				if r := p.newest(); r.Step != "ramp new-checkout 50%" {
					t.Fatalf("the kill left step %q", r.Step)
				}
				o := p.run(0, "rollback", map[string]string{"to": "live"})
				outputs(t, o, map[string]string{"status": "unchanged", "release": "2"})
				contains(t, o.Log, `left at step "ramp new-checkout 50%"`, "flag new-checkout is closed, release 2 itself had passed")
			}
			// A short look, so that looking takes little of the five seconds; then a long one.
			testcluster.Eventually(t, 5*time.Second, "the flag to be closed", func(ctx context.Context) bool { return p.express(ctx, 60) == 0 })
			if n := p.express(t.Context(), 200); n != 0 {
				t.Errorf("%d of 200 have the new checkout still", n)
			}
			r := p.newest()
			if r.Status != release.Succeeded || r.Ramp[0].Outcome != release.Closed || r.Ramp[0].Reached != 50 {
				t.Errorf("record: %s, %+v", r.Status, r.Ramp)
			}
			p.settled(two)
		})
	}
}

func TestFlags_wrongOnesAreRefusedBeforeAnythingChanges(t *testing.T) {
	for name, c := range map[string]struct {
		file, ramp string
		exit       int
		say        []string
	}{
		"no flag file of that name": {"", "", 2, []string{"flags.json", "no such file"}},
		"not flagd's":               {strings.Replace(flagFile, `"ENABLED"`, `"OPEN"`, 1), "", 1, []string{"flags.json:2: flags.new-checkout.state"}},
		"a ramp of no flag":         {flagFile, "checkout: 5%", 2, []string{`there is no flag "checkout"`}},
		"a ramp of no variant":      {flagFile, "payment: 5%", 2, []string{"name the variant to open"}},
		"two ramps of one flag":     {flagFile, "new-checkout: 5%\nnew-checkout: 25%", 2, []string{"twice"}},
		"falling shares":            {flagFile, "new-checkout: 25%, 5%", 2, []string{"5%25 comes after 25%25"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if c.file != "" {
				p.file("flags.json", c.file)
			}
			inputs := withFlags(nil)
			if c.ramp != "" {
				inputs["ramp"] = c.ramp
			}
			o := p.run(c.exit, "promote", inputs)
			contains(t, strings.Join(o.Errors(), "\n"), c.say...)
			p.nothing(p.production)
			if c.ramp == "" {
				o := p.run(c.exit, "deploy-staging", withFlags(map[string]string{"image": p.image("1")}))
				contains(t, strings.Join(o.Errors(), "\n"), c.say...)
				p.nothing(p.staging)
			}
		})
	}
	p := newPlace(t)
	o := p.run(2, "promote", map[string]string{"ramp": "new-checkout: 5%"})
	contains(t, strings.Join(o.Errors(), "\n"), "ramp", "expected the flag file")
}
