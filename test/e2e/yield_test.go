package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/kill"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// begin starts an action and returns when its log says a word.
func (p *place) begin(word, action string, inputs map[string]string) *runner.Process {
	p.t.Helper()
	step := p.step(action, inputs)
	said := make(chan struct{})
	step.Log = &killer{word: word, kill: func() { close(said) }}
	process, err := step.Start(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-said:
	case <-time.After(2 * time.Minute):
		_ = process.Signal(os.Kill)
		o, _ := process.Wait()
		p.t.Fatalf("%s never said %q; its log:\n%s", action, word, o.Log)
	}
	return process
}

// wait waits for an action's end and wants its exit code.
func (p *place) wait(exit int, process *runner.Process) runner.Outcome {
	p.t.Helper()
	o, err := process.Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	if o.Exit != exit {
		p.t.Errorf("it ended with exit code %d, want %d; its log:\n%s", o.Exit, exit, o.Log)
	}
	return o
}

const why = "checkout answers 500"

func TestRollback_takesTheEnvironmentFromACanaryUnderWay(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(two, nil)
	url := p.url(p.production)
	load := loadgen.Start(url, 50, true)
	promotion := p.begin("watched for", "promote", map[string]string{"step-duration": "60s", "steps": "50%"})
	eventually(t, "an answer of version 2", func(ctx context.Context) bool {
		answer, err := ask(ctx, fresh, url)
		return err == nil && strings.Contains(answer, `"version":"2"`)
	})

	last := follow(t, url, `"version":"2"`)
	began := time.Now()
	rollback := p.run(0, "rollback", map[string]string{"reason": why})
	took := time.Since(began)
	promoted := p.wait(1, promotion)
	bad := last().Sub(began)
	counts := load.Stop()
	t.Logf("version 2 answered until %v after the rollback's start, which took %v; requests: %v", bad, took, counts)
	if bad > 11*time.Second { // the promotion learns of it within 5 s, when it renews its lock
		t.Errorf("version 2 answered until %v after the rollback's start", bad)
	}
	if counts.Failed > 0 || counts.Sent < 100 {
		t.Errorf("requests: %v", counts)
	}
	asks := "rollback by e2e asks for the environment (web in production): " + why
	contains(t, promoted.Log, asks+": giving way")
	contains(t, strings.Join(promoted.Errors(), "\n"), asks)
	outputs(t, promoted, map[string]string{"status": "rolled-back"})
	outputs(t, rollback, map[string]string{"status": "unchanged", "release": "1", "image": one})
	contains(t, rollback.Log, "release 2, which was under way, was taken back")
	if h := p.history("production", p.production); len(h) != 2 || h[0].Status != release.RolledBack || !strings.Contains(h[0].Failure, asks) {
		t.Errorf("the history is %+v", h)
	}
	p.settled(one)
}

// Whoever names a release gets that one, after what was under way has been
// taken back; and comes before those who came earlier.
func TestRollback_takesTheEnvironmentFromADeployAndGoesBackFurther(t *testing.T) {
	p := newPlace(t)
	p.timeout = "3m"
	one, two, three := p.image("1"), p.image("2"), p.image("3")
	p.deploy(one, nil)
	p.deploy(two, nil)
	deploy := p.begin("updated ", "deploy-staging", map[string]string{"image": three, "env": "UNREADY=true"})
	later := p.begin("place 1 in the line", "deploy-staging", map[string]string{"image": two})
	rollback := p.run(0, "rollback", map[string]string{"environment": "staging", "namespace": p.staging, "to": "1"})
	outputs(t, rollback, map[string]string{"status": "succeeded", "release": "4", "restored-release": "1", "image": one})
	outputs(t, p.wait(1, deploy), map[string]string{"status": "rolled-back", "release": "3"})
	outputs(t, p.wait(0, later), map[string]string{"status": "succeeded", "release": "5", "image": two})
}

func TestServices_allReturnWhenARollbackAsksForOne(t *testing.T) {
	p := newPair(t)
	promotion := p.begin("cart: canary at 50%", "promote", p.together("step-duration", "60s"))
	o := p.run(0, "rollback", map[string]string{"service": "cart", "reason": why})
	outputs(t, o, map[string]string{"status": "unchanged", "release": "1"})
	p.wait(1, promotion)
	for _, service := range pairs {
		if r := p.records(service)[0]; r.Status != release.RolledBack || !strings.Contains(r.Failure, "(cart in production): "+why) {
			t.Errorf("%s: release %d is %s: %s", service, r.Revision, r.Status, r.Failure)
		}
	}
	if v := p.versions(); v["orders"] != 1 || v["cart"] != 1 {
		t.Errorf("production runs %v", v)
	}
}

// A process that is stopped for longer than its lock is good, and goes on after
// another one has taken over, changes nothing any more.
func TestPromote_stoppedUntilItsLockIsLostWritesNothing(t *testing.T) {
	p := newPlace(t)
	one, two, three := p.image("1"), p.image("2"), p.image("3")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(two, nil)
	stopped, goOn := p.stopped("watched for", "promote", map[string]string{"step-duration": "60s", "steps": "50%"})
	p.deploy(three, nil)
	o := p.run(0, "promote", map[string]string{"strategy": "rolling"})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3", "image": three})
	goOn()
	p.lost(stopped)
	p.settled(three)
	p.answers(p.production, `"version":"3"`)
	if h := p.history("production", p.production); h[0].Status != release.Succeeded || h[1].Status != release.RolledBack {
		t.Errorf("release 3 is %s, release 2 is %s", h[0].Status, h[1].Status)
	}
}

func TestDeploy_stoppedUntilItsLockIsLostWritesNothing(t *testing.T) {
	p := newPlace(t)
	one, two, three := p.image("1"), p.image("2"), p.image("3")
	p.deploy(one, nil)
	stopped, goOn := p.stopped("updated ", "deploy-staging", map[string]string{"image": two, "env": "UNREADY=true"})
	o := p.deploy(three, nil)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3"})
	goOn()
	p.lost(stopped)
	if images := p.images(p.staging); !slices.Equal(images, []string{three}) {
		t.Errorf("pods run %v, want %s alone", images, three)
	}
}

// sleeper is a process that was stopped, and the way that its requests take.
type sleeper struct {
	*runner.Process
	proxy *kill.Proxy
	seen  int // requests that came before it was to go on
}

// stopped starts an action and stops its process once its log says a word.
func (p *place) stopped(word, action string, inputs map[string]string) (s *sleeper, goOn func()) {
	p.t.Helper()
	proxy, err := kill.StartProxy(p.Client.REST, kill.Point{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = proxy.Close() })
	kubeconfig, err := proxy.Kubeconfig()
	if err != nil {
		p.t.Fatal(err)
	}
	s = &sleeper{Process: p.begin(word, action, with(inputs, "kubeconfig", kubeconfig)), proxy: proxy}
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	awake := sync.OnceFunc(func() { _ = s.Signal(syscall.SIGCONT) })
	p.t.Cleanup(awake) // else nobody could end it
	return s, func() {
		s.seen = proxy.Requests()
		awake()
	}
}

// lost wants a process that goes on to see that its lock is lost, and to write
// nothing but, in vain, the lock.
func (p *place) lost(s *sleeper) {
	p.t.Helper()
	woke := time.Now()
	o := p.wait(1, s.Process)
	contains(p.t, strings.Join(o.Errors(), "\n"), "the lock of this environment is lost")
	if took := time.Since(woke); took > 15*time.Second {
		p.t.Errorf("it went on for %v", took)
	}
	for _, line := range s.proxy.Seen()[s.seen:] {
		if !strings.HasPrefix(line, "GET ") && !strings.Contains(line, "/leases/") {
			p.t.Errorf("it went on to write: %s", line)
		}
	}
}
