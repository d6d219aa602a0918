package history

import (
	"slices"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

func TestLock_tellsItsHolderWhoAsksForIt(t *testing.T) {
	tableOf(t, ample, func(t *testing.T, p place) {
		holder := p.lock(t, "holder")
		order := make(chan string, 4)
		var all sync.WaitGroup
		want := func(c *candidate, n int) {
			all.Go(func() {
				l, err := c.acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				order <- person(c.id)
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
			p.line(t, n)
		}
		want(p.candidate("patient", nil), 1)
		tick := time.NewTimer(2 * p.times.renew)
		select {
		case ask := <-holder.Asked():
			t.Errorf("one who only waits is told as %+v", ask)
		case <-tick.C:
		}
		urgent := p.candidate("urgent", nil)
		urgent.asks, urgent.why = true, "it\x1b burns"
		begun := time.Now()
		want(urgent, 2)
		ask := <-holder.Asked()
		if took := time.Since(begun); took > p.times.renew+p.times.poll+p.slack() {
			t.Errorf("the holder was told after %s", took)
		}
		if ask != (Ask{By: "urgent", Why: "it burns"}) {
			t.Errorf("the holder was told %+v", ask)
		}
		later := p.candidate("urgent too", nil)
		later.asks = true
		want(later, 3)
		want(p.candidate("last", nil), 4)
		if err := holder.Check(t.Context()); err != nil {
			t.Errorf("by being asked for it the lock is lost: %v", err)
		}
		if err := holder.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		close(order)
		var got []string
		for who := range order {
			got = append(got, who)
		}
		if !slices.Equal(got, []string{"urgent", "urgent too", "patient", "last"}) {
			t.Errorf("they were served as %v", got)
		}
		p.until(t, "nobody to ask any more", func(l *coordinationv1.Lease) bool { return l.Annotations[annotationAsking] == "" })
	})
}
