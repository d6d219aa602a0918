package history

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

func TestStore_losesNothingWhenAnswersAreLost(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	lost := map[string]bool{}
	road := &road{after: func(_ int, req *http.Request) error {
		key := req.Method + " " + req.URL.Path
		if req.Method == http.MethodGet || lost[key] {
			return nil
		}
		lost[key] = true
		return io.ErrUnexpectedEOF
	}}
	s := over(t, c, road, "orders", "staging")
	for n := range 5 {
		clear(lost)
		r := begun(t, s, configMap(t, "a", "1"))
		if r.Revision != n+1 {
			t.Errorf("release %d has the number %d", n+1, r.Revision)
		}
		for _, step := range []string{"10%", "50%"} {
			clear(lost)
			r.Step = step
			end(t, s, &r, release.Underway)
		}
		clear(lost)
		end(t, s, &r, release.Succeeded)
	}
	clear(lost)
	if dropped, err := s.Prune(t.Context(), 3); err != nil || len(dropped) != 2 {
		t.Errorf("dropped %v, error %v", numbers(dropped), err)
	}
	h := whole(t, s, 0)
	if got := numbers(h); !slices.Equal(got, []int{5, 4, 3}) || h[0].Status != release.Succeeded || h[0].Step != "50%" {
		t.Errorf("kept %v, the last is %s at %q", got, h[0].Status, h[0].Step)
	}
}

var errKilled = errors.New("killed")

// killed runs a deed once for each request that it makes, and lets it die
// there: before the server has the request, or when the server has done it but
// no answer came. After each death, check looks at what is left.
func killed(t *testing.T, c *testcluster.T, deed func(*Store) error, prepare, check func(t *testing.T, s *Store)) {
	points := 0
	for _, answered := range []bool{false, true} {
		for at := 1; ; at++ {
			service := fmt.Sprintf("orders-%t-%d", answered, at)
			if prepare != nil {
				prepare(t, Open(c.Client, service, "staging", c.Namespace))
			}
			die := func(n int, _ *http.Request) error {
				if n >= at {
					return errKilled
				}
				return nil
			}
			road := &road{before: die}
			if answered {
				road.after = die
				road.before = func(n int, req *http.Request) error { return die(n-1, req) }
			}
			if err := deed(over(t, c, road, service, "staging")); err == nil {
				break
			} else if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			points++
			t.Run(fmt.Sprintf("at request %d, done by the server %t", at, answered), func(t *testing.T) {
				check(t, Open(c.Client, service, "staging", c.Namespace))
			})
		}
	}
	t.Logf("killed at %d points", points)
	if points < 6 {
		t.Errorf("killed at %d points only", points)
	}
}

func TestBegin_leavesNothingInTheWayWhenKilled(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	large := configMap(t, "a", noise(2<<20))
	killed(t, c,
		func(s *Store) error {
			return s.Begin(t.Context(), &release.Record{}, []*unstructured.Unstructured{large})
		},
		func(t *testing.T, s *Store) { ended(t, s, release.Succeeded, configMap(t, "a", "1")) },
		func(t *testing.T, s *Store) {
			locked(t, s)
			h := list(t, s)
			next := h.Next()
			if r := begun(t, s, large); r.Revision != next {
				t.Errorf("after %v comes %d", numbers(h), r.Revision)
			}
			if _, err := s.Prune(t.Context(), 20); err != nil {
				t.Error(err)
			}
			whole(t, s, 0)
		})
}

func TestUpdate_isDoneOrNotDoneWhenKilled(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	killed(t, c,
		func(s *Store) error {
			for _, step := range []string{"10%", "50%", "done"} {
				h, err := s.List(t.Context())
				if err != nil {
					return err
				}
				h[0].Step = step
				if err := s.Update(t.Context(), &h[0]); err != nil {
					return err
				}
			}
			return nil
		},
		func(t *testing.T, s *Store) { begun(t, s, configMap(t, "a", "1")) },
		func(t *testing.T, s *Store) {
			locked(t, s)
			r := list(t, s)[0]
			if !slices.Contains([]string{"", "10%", "50%", "done"}, r.Step) {
				t.Errorf("it is at step %q", r.Step)
			}
			end(t, s, &r, release.RolledBack)
			whole(t, s, 0)
		})
}

func TestPrune_leavesOnlyWholeReleasesWhenKilled(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t)
	killed(t, c,
		func(s *Store) error {
			_, err := s.Prune(t.Context(), 3)
			return err
		},
		func(t *testing.T, s *Store) {
			for range 5 {
				ended(t, s, release.Succeeded, configMap(t, "a", "1"))
			}
		},
		func(t *testing.T, s *Store) {
			locked(t, s)
			for _, r := range list(t, s) {
				if _, err := s.Objects(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
			if _, err := s.Prune(t.Context(), 3); err != nil {
				t.Error(err)
			}
			if got := numbers(whole(t, s, 0)); !slices.Equal(got, []int{5, 4, 3}) {
				t.Errorf("kept %v", got)
			}
		})
}
