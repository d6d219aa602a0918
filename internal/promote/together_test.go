package promote

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeeting_letsNobodyGoBeforeAllMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(3)
		var passed atomic.Int32
		for i := range 3 {
			go func() {
				time.Sleep(time.Duration(i) * time.Second)
				if err := m.arrive(t.Context(), i, pointFirst, func() {}); err != nil {
					t.Error(err)
				}
				passed.Add(1)
			}()
		}
		time.Sleep(1500 * time.Millisecond)
		if n := passed.Load(); n != 0 {
			t.Errorf("%d went on without the third", n)
		}
		time.Sleep(time.Second)
		if n := passed.Load(); n != 3 {
			t.Errorf("%d of 3 went on", n)
		}
	})
}

func TestMeeting_doesNotWaitForWhoSkipsSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(2)
		go func() { _ = m.arrive(t.Context(), 1, pointApply, func() {}) }() // a first release has no canary
		for point := range 3 {
			if err := m.arrive(t.Context(), 0, point, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.arrive(t.Context(), 0, pointApply, func() {}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	})
}

func TestMeeting_endsWithTheOthersFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(2)
		ctx, cancel := context.WithCancelCause(t.Context())
		broken := errors.New("broken")
		time.AfterFunc(time.Second, func() { cancel(broken) })
		told := false
		if err := m.arrive(ctx, 0, pointFirst, func() { told = true }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if !told {
			t.Error("nothing was told of the wait")
		}
	})
}
