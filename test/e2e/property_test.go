package e2e

import (
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

var releasesSeed = flag.Uint64("releases.seed", rand.Uint64(), "what the random releases are made of")

// After ten random releases, going back to any one of them brings back every
// object as it was then, byte for byte, and removes the others.
func TestRollback_restoresAnyOfTenRandomReleasesByteForByte(t *testing.T) {
	p := newPlace(t)
	t.Logf("-releases.seed=%d", *releasesSeed)
	chance := rand.New(rand.NewPCG(*releasesSeed, 10))
	images := []string{p.image("1"), p.image("2")}
	was := []map[string]string{nil} // by release
	for len(was) <= 10 {
		p.file("web.yaml", randomRelease(chance))
		p.deploy(images[chance.IntN(2)], map[string]string{"manifests": "web.yaml"})
		was = append(was, p.content("staging", p.staging))
	}
	recorded := p.recorded("staging", p.staging)
	for _, to := range chance.Perm(9)[:3] { // what is live already would change nothing
		to++
		o := p.run(0, "rollback", map[string]string{"to": strconv.Itoa(to), "environment": "staging", "namespace": p.staging})
		outputs(t, o, map[string]string{"status": "succeeded", "restored-release": strconv.Itoa(to)})
		is := p.content("staging", p.staging)
		for _, key := range slices.Sorted(maps.Keys(both(was[to], is))) {
			if was[to][key] != is[key] {
				t.Errorf("%s after the rollback to release %d is\n%s\nand was\n%s", key, to, is[key], was[to][key])
			}
		}
		p.configured("staging", p.staging)
		now := p.recorded("staging", p.staging)
		newest := slices.Max(slices.Collect(maps.Keys(now)))
		if now[newest] != recorded[to] {
			t.Errorf("release %d, which restores %d, is recorded as\n%s\nwant\n%s", newest, to, now[newest], recorded[to])
		}
	}
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// recorded is the objects of every release, by number, as their record has them.
func (p *place) recorded(environment, namespace string) map[int]string {
	p.t.Helper()
	store := history.Open(p.Client, "web", environment, namespace)
	h, err := store.List(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[int]string{}
	for _, r := range h {
		objects, err := store.Objects(p.t.Context(), r)
		if err != nil {
			p.t.Fatalf("objects of release %d: %v", r.Revision, err)
		}
		for _, u := range objects {
			raw, err := u.MarshalJSON()
			if err != nil {
				p.t.Fatal(err)
			}
			all[r.Revision] += string(raw)
		}
	}
	return all
}

// configured wants the configuration to be there of every release that can be
// restored, and none beside.
func (p *place) configured(environment, namespace string) {
	p.t.Helper()
	need := map[string]bool{}
	for _, r := range p.history(environment, namespace) {
		for _, o := range r.Objects {
			if !o.Versioned || r.Status != release.Succeeded {
				continue
			}
			need[o.Key()] = true
			if u, err := p.Client.Get(p.t.Context(), o); err != nil || u == nil {
				p.t.Errorf("%s, which release %d needs, is not there (%v)", o, r.Revision, err)
			}
		}
	}
	for key := range p.versioned(environment, namespace) {
		if !need[key] {
			p.t.Errorf("%s is needed by no release and still there", key)
		}
	}
	if len(need) == 0 {
		p.t.Error("no release has versioned configuration")
	}
}

func TestDeploy_keepsTwentyReleasesAndTheirConfiguration(t *testing.T) {
	p := newPlace(t)
	image := p.image("1")
	for i := range 24 {
		// The pods stay; a job that sleeps reads another configuration each time.
		p.file("web.yaml", manifest+fmt.Sprintf(sleeping, i))
		p.deploy(image, map[string]string{"manifests": "web.yaml"})
	}
	h := p.history("staging", p.staging)
	if len(h) != 20 || h[0].Revision != 24 || h[19].Revision != 5 {
		t.Errorf("%d releases are kept, %d to %d, want 20, 5 to 24", len(h), h[len(h)-1].Revision, h[0].Revision)
	}
	p.configured("staging", p.staging)
	if n := len(p.versioned("staging", p.staging)); n != 21 { // and what the pods read
		t.Errorf("%d pieces of versioned configuration are there, want 21", n)
	}
	o := p.run(1, "rollback", map[string]string{"to": "4", "environment": "staging", "namespace": p.staging})
	contains(t, o.Log, "no release 4")
	o = p.run(0, "rollback", map[string]string{"to": "5", "environment": "staging", "namespace": p.staging})
	outputs(t, o, map[string]string{"status": "succeeded", "restored-release": "5"})
	p.configured("staging", p.staging)
}

const sleeping = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: nightly}
data: {number: "%d"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 0 1 1 *"
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: nightly, image: IMAGE, envFrom: [{configMapRef: {name: nightly}}]}]
`

// A release of more than one Secret can hold is restored like any other.
func TestRollback_restoresFiveMegabytes(t *testing.T) {
	p := newPlace(t)
	image := p.image("1")
	big := func(seed uint64) string {
		chance := rand.New(rand.NewPCG(seed, seed))
		var text strings.Builder
		text.WriteString(manifest)
		for i := range 6 {
			blob := make([]byte, 690_000) // 920 kB each, and not to be compressed
			for i := range blob {
				blob[i] = byte(chance.Uint32())
			}
			fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: big-%d}\nbinaryData: {blob: %s}\n", i, base64.StdEncoding.EncodeToString(blob))
		}
		return text.String()
	}
	p.file("web.yaml", big(1))
	p.deploy(image, map[string]string{"manifests": "web.yaml"})
	was := p.content("staging", p.staging)
	p.file("web.yaml", big(2))
	p.deploy(image, map[string]string{"manifests": "web.yaml"})
	o := p.run(0, "rollback", map[string]string{"environment": "staging", "namespace": p.staging})
	outputs(t, o, map[string]string{"status": "succeeded", "restored-release": "1"})
	if is := p.content("staging", p.staging); !maps.Equal(was, is) {
		t.Error("the objects are not as they were")
	}
}
