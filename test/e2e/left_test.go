package e2e

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// killer kills when the log says a word.
type killer struct {
	word string
	kill func()

	once sync.Once
	mu   sync.Mutex
	seen []byte
}

func (k *killer) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = append(k.seen, b...)
	if bytes.Contains(k.seen, []byte(k.word)) {
		k.once.Do(k.kill)
	}
	return len(b), nil
}

// killAt runs an action and kills it when its log says a word.
func (p *place) killAt(word, action string, inputs map[string]string) {
	p.t.Helper()
	started := make(chan func(), 1)
	step := p.step(action, inputs)
	step.Log = &killer{word: word, kill: func() { (<-started)() }}
	process, err := step.Start(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	started <- func() { _ = process.Signal(syscall.SIGKILL) }
	if o, err := process.Wait(); err != nil || o.Exit != -1 {
		p.t.Fatalf("%s was not killed: %v, %+v", action, err, o)
	}
}

// whole wants both services to run the version, and nothing to be under way.
func (p *pair) whole(version int) {
	p.t.Helper()
	for _, service := range pairs {
		if under := p.records(service).Underway(); len(under) > 0 {
			p.t.Errorf("%s: release %d is under way still", service, under[0].Revision)
		}
	}
	if v := p.versions(); v["orders"] != version || v["cart"] != version {
		p.t.Errorf("production runs %v, want version %d of both", v, version)
	}
}

// Wherever the runner dies, both services end on the same version, whichever
// comes next.
func TestServices_killedEndOnTheSameVersion(t *testing.T) {
	for _, c := range []struct {
		word, by string
		want     int
	}{
		{"cart: canary at 50%", "cart", 1},
		{"cart: all traffic is on the new version", "cart", 1},
		{"orders: release 2 of orders is live", "cart", 2}, // all had passed
		{"orders: release 2 of orders is live", "orders", 2},
	} {
		t.Run(c.word+", then "+c.by, func(t *testing.T) {
			p := newPair(t)
			p.killAt(c.word, "promote", p.together())
			began := time.Now()
			o := p.run(0, "rollback", map[string]string{"service": c.by, "to": "live"})
			t.Logf("settled within %v:\n%s", time.Since(began), o.Log)
			p.whole(c.want)
		})
	}
}

// The Job before is run once, for the first; what it changed bars the way back
// for all.
func TestServices_aBarrierIsOneForAll(t *testing.T) {
	p := newPair(t)
	p.file("migrate.yaml", job("migrate", barrier, "work, 0s, '0'"))
	o := p.run(0, "promote", p.together("strategy", "rolling", "before", "migrate.yaml"))
	if n := strings.Count(o.Log, "ends with 0"); n != 1 {
		t.Errorf("the Job ran %d times, want once; the log:\n%s", n, o.Log)
	}
	for _, service := range pairs {
		if r := p.records(service)[0]; !r.Barrier || r.Before == "" {
			t.Errorf("%s: release %d is no barrier", service, r.Revision)
		}
		o := p.run(1, "rollback", map[string]string{"service": service})
		contains(t, o.Log, "release 2 is a barrier")
	}
	p.whole(2)
	p.run(0, "promote", p.together("strategy", "rolling", "before", "migrate.yaml"))
	if r := p.records("cart")[0]; r.Revision != 2 {
		t.Errorf("release %d was made of what was live", r.Revision)
	}
}

// signalled runs an action through a gate and signals it when a record is
// written that is wanted; with held the server's answer never comes.
func (p *place) signalled(s os.Signal, held bool, when func(release.Record) bool, action string, inputs map[string]string) runner.Outcome {
	p.t.Helper()
	started := make(chan *runner.Process, 1)
	var once sync.Once
	before := p.kubeconfig
	p.gated().written = func(r release.Record) func(*http.Request) {
		if !when(r) {
			return nil
		}
		return func(request *http.Request) {
			once.Do(func() {
				_ = (<-started).Signal(s)
				if held {
					<-request.Context().Done()
				}
			})
		}
	}
	process, err := p.step(action, inputs).Start(p.t.Context())
	p.kubeconfig = before
	if err != nil {
		p.t.Fatal(err)
	}
	started <- process
	o, err := process.Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	return o
}

// The leader has gone back and the run dies: the others follow with the
// leader's next run.
func TestServices_killedAfterTheLeadersUndoAllReturn(t *testing.T) {
	p := newPair(t)
	p.write("cart", `{name: CRASH_AFTER, value: "2s"}`)
	o := p.signalled(syscall.SIGKILL, true, func(r release.Record) bool {
		return r.Service == "orders" && r.Status == release.RolledBack
	}, "promote", p.together("step-duration", "30s"))
	if o.Exit != -1 || len(p.records("cart").Underway()) == 0 {
		t.Fatalf("promote ended with %d, cart is %s; its log:\n%s", o.Exit, p.records("cart")[0].Status, o.Log)
	}
	p.run(0, "rollback", map[string]string{"service": "orders", "to": "live"})
	p.whole(1)
}

// What is returned to does not serve: green, which does, keeps its traffic
// until that is mended.
func TestUndo_keepsWhatServesWhileTheBaseDoesNot(t *testing.T) {
	p := newPlace(t)
	p.timeout = "40s"
	one, two := p.image("1"), p.image("2")
	given := p.Client.Kube.CoreV1().ConfigMaps(p.production)
	give := func() {
		t.Helper()
		if _, err := given.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "given"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	give()
	// All pods go at once, so that nothing but green serves during the takeover.
	text := strings.Replace(manifest, "  template:\n", "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 2}}\n  template:\n", 1)
	p.file("one.yaml", strings.Replace(text, "[{configMapRef: {name: settings}}]", "[{configMapRef: {name: settings}}, {configMapRef: {name: given}}]", 1))
	p.file("two.yaml", text)
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "manifests": "one.yaml", "watch": "0s"})
	p.deploy(two, nil)
	if err := given.Delete(t.Context(), "given", metav1.DeleteOptions{}); err != nil { // the pods that are there run on
		t.Fatal(err)
	}
	p.killAt("updated Deployment web", "promote", blueGreen(map[string]string{"manifests": "two.yaml", "watch": "1s"}))

	load := loadgen.Start(p.url(p.production), 50, true)
	o := p.run(1, "rollback", map[string]string{"to": "live"})
	contains(t, o.Log, "release 1 was applied again but does not serve", "stays beside it with its traffic")
	if under := p.history("production", p.production).Underway(); len(under) != 1 {
		t.Errorf("%d releases are under way, want the one that is to be undone", len(under))
	}
	give()
	p.run(0, "rollback", map[string]string{"to": "live"})
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent == 0 {
		t.Errorf("requests: %v", counts)
	}
	p.settled(one)
}
