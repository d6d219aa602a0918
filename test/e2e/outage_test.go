package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/test/kill"
)

// through leads the place's actions through a proxy.
func (p *place) through() *kill.Proxy {
	p.t.Helper()
	proxy, err := kill.StartProxy(p.Client.REST, kill.Point{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = proxy.Close() })
	if p.kubeconfig, err = proxy.Kubeconfig(); err != nil {
		p.t.Fatal(err)
	}
	return proxy
}

// The API server goes for 20 seconds, while objects are applied and while the
// rollout is waited for; the deploy goes on when it is back.
func TestDeploy_goesOnWhenTheAPIServerWasAway(t *testing.T) {
	for name, c := range map[string]struct {
		manifest string
		when     func(*place, *kill.Proxy) bool
	}{
		"while it applies": {many(200, "hello"), func(_ *place, proxy *kill.Proxy) bool {
			return strings.Contains(strings.Join(proxy.Seen(), "\n"), "?fieldManager=fibership")
		}},
		"while it waits": {
			strings.Replace(manifest, "image: IMAGE", "image: IMAGE\n          env: [{name: UNREADY, value: 5s}]", 1),
			func(p *place, _ *kill.Proxy) bool { return p.pods(p.staging, "app=web") > 0 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.timeout = "3m"
			p.file("web.yaml", c.manifest)
			proxy := p.through()
			deploy, err := p.step("deploy-staging", map[string]string{"image": p.image("1"), "manifests": "web.yaml"}).Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "the middle of the deploy", func(context.Context) bool { return c.when(p, proxy) })
			if err := proxy.Leave(); err != nil {
				t.Fatal(err)
			}
			before := proxy.Requests()
			time.AfterFunc(20*time.Second, func() {
				if err := proxy.Return(); err != nil {
					t.Error(err)
				}
			})
			o, err := deploy.Wait()
			if err != nil {
				t.Fatal(err)
			}
			if o.Exit != 0 || o.Took < 20*time.Second || proxy.Requests() == before {
				t.Fatalf("exit code %d after %v; the log:\n%s", o.Exit, o.Took, o.Log)
			}
			outputs(t, o, map[string]string{"status": "succeeded", "release": "1"})
		})
	}
}

// Every connection, watches and all, is cut once a second.
func TestDeploy_succeedsThoughItsStreamsAreCutEverySecond(t *testing.T) {
	p := newPlace(t)
	p.file("web.yaml", strings.Replace(manifest, "image: IMAGE", "image: IMAGE\n          env: [{name: UNREADY, value: 6s}]", 1))
	proxy := p.through()
	ctx, stop := context.WithCancel(t.Context())
	cuts := make(chan int)
	go func() {
		n := 0
		defer func() { cuts <- n }()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				n++
				if err := proxy.Leave(); err != nil {
					t.Error(err)
				}
				if err := proxy.Return(); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	o := p.deploy(p.image("1"), map[string]string{"manifests": "web.yaml"})
	stop()
	if n := <-cuts; n < 5 {
		t.Errorf("only %d cuts", n)
	}
	outputs(t, o, map[string]string{"status": "succeeded", "release": "1"})
}

func TestDeploy_takesTwoThousandObjects(t *testing.T) {
	p := newPlace(t)
	p.timeout = "4m"
	p.file("web.yaml", many(2000, "hello"))
	proxy := p.through()
	inputs := map[string]string{"manifests": "web.yaml"}
	o := p.deploy(p.image("1"), inputs)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "1"})
	made := proxy.Requests()
	outputs(t, p.deploy(p.image("1"), inputs), map[string]string{"status": "unchanged"})
	again := proxy.Requests() - made
	t.Logf("%d requests in %v; unchanged: %d", made, o.Took, again)
	if made > 2200 || again > 30 {
		t.Errorf("%d requests for 2,000 new objects, %d for as many that are unchanged", made, again)
	}
}
