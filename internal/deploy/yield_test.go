package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

// Services that are promoted together end together when one has lost its lock.
// The others hold theirs and are taken back.
func TestFail_undoesWhereAnothersLockIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper()
		web, api := k.session(t, "web"), k.session(t, "api")
		a, b := begin(t, web), begin(t, api)
		ctx, stop := web.While(t.Context())
		defer stop()
		ctx, stop = api.While(ctx)
		defer stop()
		k.forget("/apis/coordination.k8s.io/v1/namespaces/production/leases/fibership.api.production")
		<-ctx.Done()
		if !byItself(ctx) {
			t.Errorf("it is taken for a cancel: %v", context.Cause(ctx))
		}
		if web.ousted() || !api.ousted() {
			t.Errorf("ousted: web %t, api %t", web.ousted(), api.ousted())
		}
		err := a.Fail(ctx, ctx.Err(), false)
		if !errors.As(err, new(*Undone)) || !errors.Is(err, history.ErrLost) {
			t.Errorf("web: %v", err)
		}
		if r := k.recorded(t, "web"); r.Status != release.RolledBack {
			t.Errorf("web's release is %s", r.Status)
		}
		if err := b.Fail(ctx, ctx.Err(), false); !errors.Is(err, history.ErrLost) || !strings.Contains(err.Error(), "whoever holds the lock now") {
			t.Errorf("api: %v", err)
		}
		if r := k.recorded(t, "api"); r.Status != release.Underway {
			t.Errorf("api's release is %s", r.Status)
		}
	})
}
