package deploy

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The lock of the leader lets its write come whenever it is still ours. By then
// another one may have taken back a member, whose lock had expired.
func TestCommit_comesInTimeOrNever(t *testing.T) {
	const locked = 8 * time.Second
	for name, c := range map[string]struct {
		cut, waited time.Duration // before the commit
		want        bool
	}{
		"at once":                       {want: true},
		"after a short outage":          {cut: 3 * time.Second, want: true},
		"an outage outlasts the locks":  {cut: 20 * time.Second},
		"the locks were asked long ago": {waited: locked},
		"the locks are about to expire": {waited: locked - saved/2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper()
				a := begin(t, k.session(t, "web"))
				until := time.Now().Add(locked)
				time.Sleep(c.waited)
				k.cutFor(c.cut)
				err := a.Commit(t.Context(), until)
				if (err == nil) != c.want {
					t.Errorf("the commit: %v", err)
				}
				if late := time.Since(until); late > 0 && c.waited < locked {
					t.Errorf("it ended %v late", late)
				}
				time.Sleep(time.Minute)
				if got := k.recorded(t, "web").Step == StepFinish; got != c.want {
					t.Errorf("it is recorded: %t, want %t", got, c.want)
				}
				if c.cut > locked && (!errors.Is(err, errLate) || a.Certain()) {
					t.Errorf("error %v; that it is not recorded is taken for certain: %t", err, a.Certain())
				}
			})
		})
	}
}
