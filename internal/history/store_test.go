package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

func TestStore_keepsFiveMegabytes(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	var objects []*unstructured.Unstructured
	for i := range 8 {
		objects = append(objects, configMap(t, fmt.Sprintf("large-%d", i), noise(900<<10)))
	}
	r := ended(t, s, release.Succeeded, objects...)

	road := &road{}
	later := over(t, c, road, "orders", "staging")
	h := list(t, later)
	if n := road.requests.Load(); n != 1 {
		t.Errorf("listing took %d requests", n)
	}
	if diff := cmp.Diff(release.History{r}, h); diff != "" {
		t.Errorf("the record is another (-began +listed):\n%s", diff)
	}
	k, _ := later.recall(1)
	if k.pack.Chunks < 5 || k.pack.Size < 7<<20 {
		t.Errorf("%d bytes in %d parts are not the release that was meant", k.pack.Size, k.pack.Chunks)
	}
	got, err := later.Objects(t.Context(), h[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(objects, got); diff != "" {
		t.Error("the objects are others")
	}
}

func TestStore_restoresTenRandomReleases(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "Production (EU)", c.Namespace) // no name for Kubernetes
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var want [][]string
	for range 10 {
		var objects []*unstructured.Unstructured
		var texts []string
		for i := range random.IntN(6) {
			u := configMap(t, fmt.Sprintf("object-%d", i), noise(random.IntN(2000)))
			u.Object["spec"] = randomValue(random, 4)
			objects = append(objects, u)
			raw, err := json.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(raw))
		}
		want = append(want, texts)
		ended(t, s, release.Succeeded, objects...)
	}
	later := Open(c.Client, "orders", "Production (EU)", c.Namespace)
	for _, r := range list(t, later) {
		objects, err := later.Objects(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range objects {
			raw, err := json.Marshal(u.Object)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(raw))
		}
		if !slices.Equal(got, want[r.Revision-1]) {
			t.Errorf("release %d is another:\n%s\nwas\n%s", r.Revision, got, want[r.Revision-1])
		}
	}
}

func randomValue(random *rand.Rand, depth int) any {
	switch kind := random.IntN(8); {
	case kind == 0 && depth > 0:
		m := map[string]any{}
		for range random.IntN(5) {
			m[noise(5)] = randomValue(random, depth-1)
		}
		return m
	case kind == 1 && depth > 0:
		l := []any{}
		for range random.IntN(5) {
			l = append(l, randomValue(random, depth-1))
		}
		return l
	case kind == 2:
		return int64(random.Uint64())
	case kind == 3:
		return random.NormFloat64()
	case kind == 4:
		return random.IntN(2) == 0
	case kind == 5:
		return nil
	}
	return string([]rune{rune(random.IntN(0xd000)), '<', rune(0x1f300 + random.IntN(200))})
}

func TestBegin_numbersTenAtOnce(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	var all errgroup.Group
	for i := range 10 {
		all.Go(func() error {
			s := Open(c.Client, "orders", "staging", c.Namespace)
			r := release.Record{Actor: fmt.Sprint(i)}
			return s.Begin(t.Context(), &r, []*unstructured.Unstructured{configMap(t, "of", fmt.Sprint(i))})
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	s := Open(c.Client, "orders", "staging", c.Namespace)
	h := whole(t, s, 0)
	if got := numbers(h); !slices.Equal(got, []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}) {
		t.Errorf("the numbers are %v", got)
	}
	actors := map[string]bool{}
	for _, r := range h {
		actors[r.Actor] = true
		objects, err := s.Objects(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if value, _, _ := unstructured.NestedString(objects[0].Object, "data", "value"); value != r.Actor {
			t.Errorf("release %d of %s holds the objects of %s", r.Revision, r.Actor, value)
		}
	}
	if len(actors) != 10 {
		t.Errorf("only %d of ten are there", len(actors))
	}
}

func TestBegin_refusesObjectsThatTheRecordDoesNotName(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	r := release.Record{Objects: []release.Object{release.Describe(configMap(t, "a", "1"))}}
	if err := s.Begin(t.Context(), &r, []*unstructured.Unstructured{configMap(t, "a", "2")}); err == nil {
		t.Error("it was recorded")
	}
	whole(t, s, 0)
}

func TestUpdate_refusesWhatSomeoneElseChanged(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	one := Open(c.Client, "orders", "staging", c.Namespace)
	mine := begun(t, one, configMap(t, "a", "1"))
	two := Open(c.Client, "orders", "staging", c.Namespace)
	theirs := list(t, two)[0]

	mine.Step = "10%"
	if err := one.Update(t.Context(), &mine); err != nil {
		t.Fatal(err)
	}
	theirs.Status = release.RolledBack
	if err := two.Update(t.Context(), &theirs); !errors.Is(err, ErrChanged) {
		t.Errorf("the second writer got %v", err)
	}
	end(t, one, &mine, release.Succeeded)
	if got := list(t, two)[0]; got.Status != release.Succeeded || got.Step != "10%" {
		t.Errorf("it is %s at step %q", got.Status, got.Step)
	}
}

func TestUpdate_refusesWhatIsNotLegal(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	r := begun(t, s, configMap(t, "a", "1"))
	for what, change := range map[string]func(*release.Record){
		"a status that is not recorded": func(r *release.Record) { r.Status = release.Planned },
		"other objects":                 func(r *release.Record) { r.Objects = nil },
		"a release that is not there":   func(r *release.Record) { r.Revision = 9 },
	} {
		wrong := r
		change(&wrong)
		if err := s.Update(t.Context(), &wrong); err == nil {
			t.Errorf("%s was recorded", what)
		}
	}
	end(t, s, &r, release.Failed)
	end(t, s, &r, release.Failed) // again is no change
	seen := r
	seen.Objects = slices.Clone(r.Objects)
	seen.Objects[0].Seen = "g2"
	if err := s.Update(t.Context(), &seen); err != nil {
		t.Errorf("what is seen of an object was not renewed: %v", err)
	}
	for _, status := range []release.Status{release.Underway, release.Succeeded, release.RolledBack} {
		wrong := seen
		wrong.Status = status
		if err := s.Update(t.Context(), &wrong); err == nil || !strings.Contains(err.Error(), "it ended as failed and stays so") {
			t.Errorf("from failed to %s: %v", status, err)
		}
	}
}

func TestStore_writesNothingOnceTheLockIsLost(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	road := &road{}
	s := over(t, c, road, "orders", "staging")
	s.times = short
	l, err := s.Lock(t.Context(), "sleeper", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := begun(t, s, configMap(t, "a", "1"))
	kill(l) // it sleeps
	other := Open(c.Client, "orders", "staging", c.Namespace)
	other.times = short
	locked(t, other)

	before := road.writes.Load()
	r.Status = release.Succeeded
	if err := s.Update(t.Context(), &r); !errors.Is(err, ErrLost) {
		t.Errorf("update: %v", err)
	}
	if n := road.writes.Load() - before; n != 1 { // the attempt to renew
		t.Errorf("%d writes were sent", n)
	}
	if err := s.Begin(t.Context(), &release.Record{}, nil); !errors.Is(err, ErrLost) {
		t.Errorf("begin: %v", err)
	}
	if err := s.drop(t.Context(), s.recordName(1)); !errors.Is(err, ErrLost) {
		t.Errorf("drop: %v", err)
	}
	if n := road.writes.Load() - before; n != 1 {
		t.Errorf("%d writes were sent in all", n)
	}
	if h := list(t, other); h[0].Status != release.Underway {
		t.Errorf("the sleeper made it %s", h[0].Status)
	}
}

// What the API server holds up for longer than the lock is good could come to
// pass under another one's.
func TestStore_givesUpAWriteBeforeTheLockCanExpire(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	var l *Lock
	var asked, ended []time.Time
	road := &road{before: func(_ int, req *http.Request) error {
		if req.Method != http.MethodPut || !strings.Contains(req.URL.Path, "/secrets/") {
			return nil
		}
		if asked = append(asked, time.Now()); len(asked) > 1 {
			return nil
		}
		kill(l) // and nobody renews it meanwhile
		<-req.Context().Done()
		ended = append(ended, time.Now())
		return req.Context().Err()
	}}
	s := over(t, c, road, "orders", "staging")
	s.times = short
	var err error
	if l, err = s.Lock(t.Context(), "holder", nil); err != nil {
		t.Fatal(err)
	}
	r := begun(t, s, configMap(t, "a", "1"))
	r.Status = release.Succeeded
	if err := s.Update(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 2 || len(ended) != 1 {
		t.Fatalf("the record was sent %d times, and given up %d times", len(asked), len(ended))
	}
	if took := ended[0].Sub(asked[0]); took > short.good-short.spare/2 {
		t.Errorf("a write under a lock that is good for %s went on for %s", short.good, took)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStore_needsNoMoreRightsThanItSays(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	client := c.Limited(t,
		rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "create", "update", "delete"}},
		rbac.PolicyRule{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}},
	)
	s := Open(client, "orders", "staging", c.Namespace)
	l, err := s.Lock(t.Context(), "limited", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		ended(t, s, release.Succeeded, configMap(t, "a", "1"))
	}
	if dropped, err := s.Prune(t.Context(), 1); err != nil || len(dropped) != 2 {
		t.Errorf("dropped %v, error %v", numbers(dropped), err)
	}
	whole(t, s, 0)
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStore_saysThatANamespaceIsNotThere(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace+"-not")
	if err := s.Begin(t.Context(), &release.Record{}, nil); err == nil || !strings.Contains(err.Error(), `namespaces "`+c.Namespace+`-not" not found`) {
		t.Errorf("begin: %v", err)
	}
	if _, err := s.Lock(t.Context(), "test", nil); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("lock: %v", err)
	}
}

func TestStore_keepsSecretsAsSecrets(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	secret := object(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"token"},"stringData":{"token":"open sesame"}}`)
	ended(t, s, release.Succeeded, secret)
	kept, err := c.Client.Kube.CoreV1().Secrets(c.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: labelService + "=orders"})
	if err != nil || len(kept.Items) != 2 {
		t.Fatal(len(kept.Items), err)
	}
	for _, item := range kept.Items {
		if item.Type != corev1.SecretType("fibership.dev/release") {
			t.Errorf("%s is of type %s", item.Name, item.Type)
		}
		if strings.Contains(string(item.Data[keyRecord]), "sesame") {
			t.Error("the record tells the secret")
		}
	}
	maps, err := c.Client.Kube.CoreV1().ConfigMaps(c.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: labelService})
	if err != nil || len(maps.Items) > 0 {
		t.Errorf("%d config maps, error %v", len(maps.Items), err)
	}
}

// Ten deploys at once: each finds the one before it ended, and leaves its own
// so.
func TestStore_servesTenDeploysOneAtATime(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	var all errgroup.Group
	for i := range 10 {
		all.Go(func() error {
			s := Open(c.Client, "orders", "staging", c.Namespace)
			l, err := s.Lock(t.Context(), fmt.Sprintf("run %d", i), nil)
			if err != nil {
				return err
			}
			h, err := s.List(t.Context())
			if err != nil {
				return err
			}
			if underway := h.Underway(); len(underway) > 0 {
				return fmt.Errorf("run %d finds release %d under way", i, underway[0].Revision)
			}
			live, _ := h.Live()
			r := release.Record{Base: live.Revision}
			if err := s.Begin(t.Context(), &r, []*unstructured.Unstructured{configMap(t, "a", fmt.Sprint(i))}); err != nil {
				return err
			}
			for _, step := range []string{"10%", "50%", "done"} {
				if r.Step = step; step == "done" {
					r.Status = release.Succeeded
				}
				if err := s.Update(t.Context(), &r); err != nil {
					return err
				}
			}
			if _, err := s.Prune(t.Context(), 5); err != nil {
				return err
			}
			return l.Release(t.Context())
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	h := whole(t, Open(c.Client, "orders", "staging", c.Namespace), 0)
	if got := numbers(h); !slices.Equal(got, []int{10, 9, 8, 7, 6}) {
		t.Errorf("kept %v", got)
	}
	for _, r := range h {
		if r.Base != r.Revision-1 || r.Status != release.Succeeded {
			t.Errorf("release %d is %s on top of %d", r.Revision, r.Status, r.Base)
		}
	}
}
