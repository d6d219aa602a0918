package deploy

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
)

// MetricsPath is where pods tell their metrics.
const MetricsPath = "/metrics"

// Steered records how traffic is about to be led: a traffic.Note.
func (a *Attempt) Steered(ctx context.Context, s release.Steered) error {
	a.Record.Steered = &s
	return a.save(ctx)
}

// LiveObjects is the objects of the release that is live; none where none is.
func (s *Session) LiveObjects(ctx context.Context) ([]*unstructured.Unstructured, error) {
	live, ok := s.History.Live()
	if !ok {
		return nil, nil
	}
	return s.store.Objects(ctx, live)
}

// steers says whether a change is of an object that leads traffic while the
// attempt steers it: these have their own time.
func (a *Attempt) steers(c Change) (service, route bool) {
	s := a.Record.Steered
	if s == nil {
		return false, false
	}
	for _, p := range s.Services {
		service = service || isService(c) && c.Object.Namespace == p.Namespace && c.Object.Name == p.Name
	}
	route = s.Route != nil && c.Object.Key() == traffic.RouteObject(s.Route.Namespace, s.Route.Name).Key()
	return service, route
}

// unsteered marks what leads traffic as to be sent: it is not as it was when
// the changes were found.
func (a *Attempt) unsteered(changes []Change) {
	for i, c := range changes {
		if service, route := a.steers(c); (service || route) && c.Verb == Same {
			changes[i].Verb = Update
		}
	}
}

// leads says whether a change is of a Service or a route that steers.
func (a *Attempt) leads(c Change) bool {
	service, route := a.steers(c)
	return service || route
}

// Home leads all traffic to the release's own pods, which serve by now, and
// removes what stands beside.
func (a *Attempt) Home(ctx context.Context) error {
	if a.Record.Steered == nil {
		return a.RemoveBeside(ctx)
	}
	pins, err := traffic.Pins(ctx, a.Cluster, a.wanted(), a.Record.Steered.Services)
	if err != nil {
		a.Log.Linef("%v", err)
	}
	return a.home(ctx, home{objects: a.wanted(), pins: pins, stay: true, wait: true, rest: func(ctx context.Context) error {
		a.unsteered(a.changes)
		return a.send(ctx, a.leads)
	}})
}

// leadBack leads all traffic to the release that is returned to, and removes
// what stands beside. While the live version is untouched its Services are held
// to its pods on the way, so that the new ones get nothing more.
func (a *Attempt) leadBack(ctx context.Context, to *release.Record, changes []Change, untouched, serves, wait bool) error {
	if a.Record.Steered == nil {
		return a.removeBeside(ctx, wait)
	}
	h := home{objects: wantedOf(changes), wait: wait, undo: true, rest: func(ctx context.Context) error {
		a.unsteered(changes)
		return a.restore(ctx, to, changes, func(c Change) bool { _, route := a.steers(c); return isService(c) || route })
	}}
	switch {
	case untouched:
		for _, p := range a.Record.Steered.Services {
			p.Beside = false
			h.pins = append(h.pins, p)
		}
		if !traffic.Still(ctx, a.Cluster, h.objects, h.pins) { // somebody changed it by hand
			h.pins = nil
		}
	case serves:
		var err error
		if h.pins, err = traffic.Pins(ctx, a.Cluster, h.objects, a.Record.Steered.Services); err != nil {
			a.Log.Linef("%v", err)
		}
	}
	return a.home(ctx, h)
}

// stay leads all traffic to a release that failed and is kept.
func (a *Attempt) stay(ctx context.Context) error {
	if a.Record.Steered == nil {
		return a.RemoveBeside(ctx)
	}
	changes, err := a.back(ctx, a.Record)
	if err != nil {
		return err
	}
	return a.home(ctx, home{objects: wantedOf(changes), stay: true, wait: true, undo: true, rest: func(ctx context.Context) error {
		a.unsteered(changes)
		return a.restore(ctx, &a.Record, changes, a.leads)
	}})
}

// home is the way back to a version's usual traffic.
type home struct {
	objects []*unstructured.Unstructured // the version's
	pins    []release.Pinned             // to what its Services are held on the way; none: they select both versions
	stay    bool                         // the route keeps both Services
	wait    bool                         // until all has come to an end
	undo    bool                         // what others took is taken back
	rest    func(context.Context) error  // makes Services and route as the version has them
}

// home goes the way: the Services select the version's pods alone, the route
// leads there, no request reaches what stands beside any more, that goes, and
// the Services and the route are as the version has them. A kill in between is
// settled from the record.
func (a *Attempt) home(ctx context.Context, h home) error {
	s := *a.Record.Steered
	if len(h.pins) > 0 {
		s.Services = h.pins
		if err := a.Steered(ctx, s); err != nil {
			return err
		}
		if err := traffic.Select(ctx, a.Cluster, h.objects, h.pins, h.undo); err != nil {
			return err
		}
	} else {
		if err := h.rest(ctx); err != nil {
			return err
		}
		if err := traffic.Followed(ctx, a.Cluster, s.Services); err != nil {
			return err
		}
	}
	if s.Route != nil && s.Route.Weight > 0 {
		if err := a.routeHome(ctx, h, *s.Route); err != nil {
			return err
		}
	}
	if err := a.removeBeside(ctx, h.wait); err != nil {
		return err
	}
	if err := h.rest(ctx); err != nil {
		return err
	}
	a.Record.Steered = nil
	return nil
}

func (a *Attempt) routeHome(ctx context.Context, h home, r release.Route) error {
	if err := traffic.Back(ctx, a.Cluster, r, h.stay, a.Log); err != nil {
		return err
	}
	a.Log.Linef("HTTPRoute %s leads to %s alone", r.Name, r.Service)
	if err := traffic.Observed(ctx, a.Cluster, r); err != nil {
		if ctx.Err() != nil {
			return err
		}
		a.Log.Linef("%v: going on by what the pods tell", err)
	}
	return a.drained(ctx, h.objects)
}

// The proof that no request reaches what stands beside any more.
const (
	quietFor     = 3 * time.Second  // in which not one may have come
	quietExpects = 20               // in which so many would have come by the old weight
	quietBlind   = 30 * time.Second // where the pods do not tell: what a slow gateway takes
	quietMost    = time.Minute      // after which it is told and gone on
	quietEvery   = time.Second
)

// drained waits until no request reaches the pods beside. Gateways say that
// they know a weight before they act on it: only the pods tell the truth. When
// the live pods had so many requests that some would have come here by the
// weight that was, and none did, the gateway has moved.
func (a *Attempt) drained(ctx context.Context, objects []*unstructured.Unstructured) error {
	s := a.Record.Steered
	began := time.Now()
	var last reached
	var quiet time.Time
	served, blind := 0.0, ""
	for {
		now, err := a.counted(ctx, objects)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errNobody):
			return nil
		case err != nil:
			blind, quiet = err.Error(), time.Time{}
		case now.beside.Total() == 0:
			blind, quiet = "the pods beside count no requests", time.Time{}
		case quiet.IsZero() || now.beside.Since(last.beside) > 0:
			quiet, served, blind = time.Now(), 0, ""
		default:
			served += now.live.Since(last.live)
		}
		last = now
		expected := served * min(1, float64(s.Route.Weight)/max(1, float64(100-s.Route.Weight)))
		still := time.Since(quiet)
		switch past := time.Since(began); {
		case !quiet.IsZero() && still >= quietFor && expected >= quietExpects:
			a.Log.Linef("no request reached what stands beside for %v, while %.0f went to %s", still.Round(time.Second), served, s.Route.Service)
			return nil
		case past >= quietBlind && (quiet.IsZero() || still >= quietFor):
			if blind != "" {
				a.Log.Linef("waited %v for the gateway: its requests cannot be counted (%s)", quietBlind, blind)
			} else {
				a.Log.Linef("waited %v for the gateway: no request reached what stands beside for %v", quietBlind, still.Round(time.Second))
			}
			return nil
		case past >= quietMost:
			a.Log.Linef("requests still reach what stands beside %v after the route was led back: going on", quietMost)
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(quietEvery):
		}
	}
}

// errNobody: nothing stands beside, so nothing can reach it.
var errNobody = errors.New("no pod stands beside")

// reached is what pods say has reached them.
type reached struct{ live, beside metrics.Counts }

func (a *Attempt) counted(ctx context.Context, objects []*unstructured.Unstructured) (l reached, err error) {
	var besides []corev1.Pod
	for _, o := range Workloads(a.Record.Beside) {
		u, err := a.Cluster.Get(ctx, o)
		if err != nil {
			return l, err
		}
		if u == nil {
			continue
		}
		pods, err := podsOf(ctx, a.Cluster, u)
		if err != nil {
			return l, err
		}
		besides = append(besides, pods...)
	}
	m := a.Record.Steered.Metrics
	if m.Port == 0 {
		return l, errors.New("nothing is known of their metrics")
	}
	live, err := traffic.Behind(ctx, a.Cluster, objects, a.Record.Steered.Services)
	if err != nil {
		return l, err
	}
	if len(besides) == 0 {
		return l, errNobody
	}
	names := metrics.Names{Requests: m.Requests}
	if l.beside, err = metrics.Count(ctx, a.Cluster, m.Port, MetricsPath, names, besides); err != nil {
		return l, err
	}
	l.live, err = metrics.Count(ctx, a.Cluster, m.Port, MetricsPath, names, live)
	return l, err
}
