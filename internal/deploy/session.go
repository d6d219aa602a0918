package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/veil"
)

// Keep is the number of releases that a history holds.
const Keep = 20

// letGo bounds what is done after the work: handing back the lock. Who was
// cancelled has spent most of his seven seconds by then.
const (
	letGo        = 3 * time.Second
	letGoHurried = 400 * time.Millisecond
)

// Session is exclusive access to a target: the lock is held, what dead runners
// left is settled, and every write is fenced by the lock.
type Session struct {
	Target
	History release.History

	// previous says that the settling itself was what asking for the release
	// before means: a dead run's release was taken back, or a rollback that had
	// restored all was finished. A rollback that was taken back is yet to be made.
	previous bool
	looked   int // requests of the last comparing, beside those for what is ours

	passing sync.Mutex
	passed  bool // the point of no return

	scaled   scaled // as last asked
	scaledAt time.Time

	veil  *veil.Veil // before what it tells of Secrets
	store *history.Store
	lock  *history.Lock // nil in a session that only looks
}

// Peek reads the history and takes no lock. The session must not write.
func Peek(ctx context.Context, t Target) (*Session, error) {
	if err := reachable(ctx, t, reads(t.Namespace)); err != nil {
		return nil, err
	}
	s := newSession(t, history.Open(t.Cluster, t.Service, t.Environment, t.Namespace), nil)
	var err error
	if s.History, err = s.store.List(ctx); err != nil {
		return nil, &Refusal{Reason: "read the history of " + t.Service, Err: err}
	}
	return s, nil
}

// Open waits for the lock, then ends what a dead runner left half done. The
// caller closes the session. needs is rights beside those that every session
// needs.
func Open(ctx context.Context, t Target, needs ...cluster.Access) (*Session, error) {
	if err := reachable(ctx, t, slices.Concat(reads(t.Namespace), writes(t.Namespace), needs)); err != nil {
		return nil, err
	}
	// The store that holds the lock fences its own writes, and it alone may
	// sweep what killed runs left of a record.
	store := history.Open(t.Cluster, t.Service, t.Environment, t.Namespace)
	lock, err := acquire(ctx, t, store)
	if err != nil {
		return nil, err
	}
	t.Cluster = t.Cluster.Fenced(lock.Until)
	s := newSession(t, store, lock)
	if s.History, err = s.store.List(ctx); err != nil {
		s.Close(ctx)
		return nil, &Refusal{Reason: "read the history of " + t.Service, Err: err}
	}
	if err := s.settle(ctx); err != nil {
		s.Close(ctx)
		return nil, err
	}
	return s, nil
}

// newSession hides from the log what the session comes to know of Secrets.
func newSession(t Target, store *history.Store, lock *history.Lock) *Session {
	hidden := veil.New(t.Cluster.Kube, t.Namespace, t.Service, t.Environment, t.Namespace)
	t.Log = progress.Hiding(t.Log, hidden.Known)
	return &Session{Target: t, veil: hidden, store: store, lock: lock}
}

// Clean is err without the values of Secrets that are known.
func (s *Session) Clean(err error) error { return s.veil.Error(err) }

// cleanChecks is checks without them.
func (s *Session) cleanChecks(checks []analysis.Result) []analysis.Result {
	checks = slices.Clone(checks)
	for i := range checks {
		checks[i].Detail = s.veil.Known(checks[i].Detail)
	}
	return checks
}

// Close hands the lock back, also after a cancel. A lock that cannot be handed
// back expires by itself.
func (s *Session) Close(ctx context.Context) {
	if s.lock == nil {
		return
	}
	within := letGo
	if ctx.Err() != nil {
		within = letGoHurried
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if err := s.lock.Release(ctx); err != nil && !errors.Is(err, history.ErrLost) {
		s.Log.Linef("the lock was not handed back and expires by itself: %v", err)
	}
}

// reachable refuses where the namespace cannot be worked in or rights are
// missing, before anything is written.
func reachable(ctx context.Context, t Target, needs []cluster.Access) error {
	t.Log.Linef("cluster %s, by %s", t.Cluster.Server, t.Cluster.Source)
	// Who may not look at namespaces is told by what follows.
	if err := t.Cluster.Namespace(ctx, t.Namespace); err != nil && !forbidden(err) {
		return &Refusal{Reason: "namespace " + t.Namespace + " cannot be deployed to", Err: err}
	}
	missing, err := t.Cluster.Can(ctx, needs)
	if err != nil {
		return &Refusal{Reason: "ask the API server for our rights", Err: err}
	}
	if len(missing) > 0 {
		return &Refusal{
			Reason: fmt.Sprintf("no right to %s in namespace %s", list(missing), t.Namespace),
			Advice: "add these rules to the role of the kubeconfig's user:\n" + cluster.Rules(missing),
		}
	}
	return nil
}

func forbidden(err error) bool {
	_, is := errors.AsType[*cluster.ForbiddenError](err)
	return is
}

// reads is what looking at releases needs; the rights on the user's own
// objects are told by the server's dry run.
func reads(namespace string) []cluster.Access {
	return accesses(namespace, "", "secrets", "get", "list")
}

// writes is what making releases needs beside.
func writes(namespace string) []cluster.Access {
	return slices.Concat(
		accesses(namespace, "", "secrets", "create", "update", "delete"),
		accesses(namespace, "coordination.k8s.io", "leases", "get", "create", "update"),
		accesses(namespace, "", "pods", "list", "watch"),
		accesses(namespace, "apps", "replicasets", "list", "watch"),
		accesses(namespace, "apps", "deployments", "get", "list", "watch"),
	)
}

// Steering is the rights that leading traffic by Services needs beside, and, in
// the route's namespace, by an HTTPRoute where that is not empty.
func Steering(namespace, route string) []cluster.Access {
	needs := slices.Concat(
		accesses(namespace, "", "services", "get", "patch"),
		accesses(namespace, "discovery.k8s.io", "endpointslices", "list"),
	)
	if route != "" {
		needs = append(needs, accesses(route, "gateway.networking.k8s.io", "httproutes", "get", "patch")...)
	}
	return needs
}

func accesses(namespace, group, resource string, verbs ...string) []cluster.Access {
	var all []cluster.Access
	for _, verb := range verbs {
		all = append(all, cluster.Access{Verb: verb, Group: group, Resource: resource, Namespace: namespace})
	}
	return all
}

func list(missing []cluster.Access) string {
	text := ""
	for i, m := range missing {
		if i > 0 {
			text += ", "
		}
		text += m.Verb + " " + m.Resource
		if m.Subresource != "" {
			text += "/" + m.Subresource
		}
	}
	return text
}

func acquire(ctx context.Context, t Target, store *history.Store) (*history.Lock, error) {
	waitCtx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	waiting := func(w history.Wait) {
		t.Log.Linef("waiting: %s (place %d in the line)", busy(t.Service, w), w.Position)
	}
	take := store.Lock
	if t.why != nil {
		take = func(ctx context.Context, holder string, waiting func(history.Wait)) (*history.Lock, error) {
			return store.Ask(ctx, holder, *t.why, waiting)
		}
	}
	lock, err := take(waitCtx, t.Holder, waiting)
	var held *history.HeldError
	switch {
	case err == nil:
		return lock, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &held):
		return nil, &Refusal{
			Reason: fmt.Sprintf("%s, and was for all of the %v that we waited", busy(t.Service+" in "+t.Environment, held.Wait), t.Timeout),
			Advice: "wait for that run to end and run this one again, or give a longer timeout. A run that died lets go by itself within half a minute.",
			Err:    err,
		}
	default:
		return nil, &Refusal{Reason: "take the lock of " + t.Service, Err: err}
	}
}

// busy says why a service's lock cannot be had yet.
func busy(service string, w history.Wait) string {
	switch {
	case w.By == "":
		return fmt.Sprintf("the lock of %s is free, and it is another run's turn", service)
	case w.Since.IsZero():
		return fmt.Sprintf("%s is being changed by %s", service, w.By)
	}
	return fmt.Sprintf("%s is being changed by %s since %s", service, w.By, w.Since.UTC().Format("15:04:05"))
}

// result is what can be told before anything is done.
func (s *Session) result(r release.Record) Result {
	live, _ := s.History.Live()
	r.Base = live.Revision
	return Result{Status: release.Refused, Record: r, Previous: live, History: s.History}
}
