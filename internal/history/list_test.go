package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

func TestList_namesTheDamagedAndGivesTheRest(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	for range 3 {
		ended(t, s, release.Succeeded, configMap(t, "a", "1"))
	}
	spoil := func(revision int, key string, value string) {
		t.Helper()
		patch := map[string]any{"data": map[string][]byte{key: []byte(value)}}
		raw, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Client.Kube.CoreV1().Secrets(c.Namespace).Patch(t.Context(), s.recordName(revision), "application/merge-patch+json", raw, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	spoil(3, keyRecord, `{"format":1,"revi`)
	h, err := s.List(t.Context())
	var damaged *DamagedError
	if !errors.As(err, &damaged) || !slices.Equal(damaged.Secrets, []string{"fibership.orders.staging.3"}) ||
		!strings.Contains(damaged.Next(), "kubectl --namespace "+c.Namespace+" delete secret fibership.orders.staging.3") {
		t.Errorf("error %v", err)
	}
	if got := numbers(h); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("the rest is %v", got)
	}
	// The number of a damaged release is not given again, and it is not pruned.
	if r := begun(t, s, configMap(t, "a", "1")); r.Revision != 4 {
		t.Errorf("the next release is %d", r.Revision)
	}
	if dropped, err := s.Prune(t.Context(), 0); !errors.As(err, &damaged) || len(dropped) > 0 {
		t.Errorf("pruned %v, error %v", numbers(dropped), err)
	}

	spoil(3, keyRecord, `{"format":2,"revision":3}`)
	spoil(3, keyWriter, `v3.0.0`)
	var newer *NewerError
	if _, err := s.List(t.Context()); !errors.As(err, &newer) || !strings.Contains(err.Error(), "release 3 was recorded in format 2 by Fibership v3.0.0") {
		t.Errorf("error %v", err)
	}
	if err := s.Begin(t.Context(), &release.Record{}, nil); !errors.As(err, &newer) {
		t.Errorf("a release was begun in a history that is not understood: %v", err)
	}
}

func TestList_takesARequestForEveryFiveHundred(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	var all errgroup.Group
	all.SetLimit(8)
	for n := range 501 {
		all.Go(func() error {
			secret := s.recordSecret(n + 1)
			r := release.Record{Format: 1, Service: "orders", Environment: "staging", Revision: n + 1, Status: release.Succeeded}
			if err := seal(secret, r, pack{Chunks: 1, SHA256: sum(nil)}); err != nil {
				return err
			}
			_, err := s.kube.CoreV1().Secrets(c.Namespace).Create(t.Context(), secret, metav1.CreateOptions{})
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	road := &road{}
	h := list(t, over(t, c, road, "orders", "staging"))
	if len(h) != 501 || h.Next() != 502 || road.requests.Load() != 2 {
		t.Errorf("%d records in %d requests, the next is %d", len(h), road.requests.Load(), h.Next())
	}
}

func TestList_keepsServicesAndEnvironmentsApart(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	for _, other := range [][2]string{{"orders", "staging"}, {"orders", "Staging"}, {"orders-staging", "1"}, {"orders", "staging.1"}, {"billing", "staging"}} {
		s := Open(c.Client, other[0], other[1], c.Namespace)
		ended(t, s, release.Succeeded, configMap(t, other[0], other[1]))
		if h := whole(t, s, 0); len(h) != 1 || h[0].Service != other[0] || h[0].Environment != other[1] {
			t.Errorf("%v has %v", other, h)
		}
	}
}

func TestObjects_areWholeOrThereAreNone(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	r := ended(t, s, release.Succeeded, configMap(t, "a", noise(2<<20)))
	remove(t, s, s.chunkName(1, 1))
	if got, err := s.Objects(t.Context(), r); err == nil || got != nil || !strings.Contains(err.Error(), "part 2 of 2 of its objects") {
		t.Errorf("%d objects, error %v", len(got), err)
	}
}

func TestPrune_keepsWhatIsNeededAndDropsTheRest(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	for n := range 12 {
		status := release.RolledBack
		if n < 5 {
			status = release.Succeeded
		}
		ended(t, s, status, configMap(t, fmt.Sprint("of-", n+1), noise(100)))
	}
	dropped, err := s.Prune(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	if got := numbers(dropped); !slices.Equal(got, []int{1, 2, 6, 7, 8}) || dropped[0].Objects[0].Name != "of-1" {
		t.Errorf("dropped %v", got)
	}
	if got := numbers(whole(t, s, 0)); !slices.Equal(got, []int{12, 11, 10, 9, 5, 4, 3}) {
		t.Errorf("kept %v", got)
	}
}

func TestPrune_sweepsOnlyUnderTheLock(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	s := Open(c.Client, "orders", "staging", c.Namespace)
	ended(t, s, release.Succeeded, configMap(t, "a", "1"))
	begun(t, s, configMap(t, "b", noise(2<<20)))
	remove(t, s, s.recordName(2)) // as if it had been killed before it wrote that
	if _, err := s.Prune(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	whole(t, s, 2)
	locked(t, s)
	if _, err := s.Prune(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	whole(t, s, 0)
}
