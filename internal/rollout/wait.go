package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// Options of Wait.
type Options struct {
	Timeout time.Duration // 0: five minutes
	Log     progress.Log  // nil: says nothing
	// Hide takes what must not be shown, such as the values of Secrets, out of
	// what pods and events say, before anything is made of it. It is called only
	// where there is a trouble to tell of. nil: what is obvious alone is taken out.
	Hide func(text string) string
}

const (
	defaultTimeout = 5 * time.Minute
	heartbeat      = 14 * time.Second        // a line at least this often
	tick           = time.Second             // graces run out without an event
	eventsLate     = 800 * time.Millisecond  // that an event may come after the end that it explains
	calm           = 20 * time.Millisecond   // changes come in bursts
	silence        = 1500 * time.Millisecond // of the API server, after which what is known counts as old
)

// Wait returns nil once every workload among objs serves. Objects that do not
// roll out (a ConfigMap, a Service) are passed over. It ends with a *Failure
// as soon as one is doomed, or when the time is up, with the likeliest trouble
// named; and with the context's error when ctx ends.
//
// Where an object says what was last seen of it (Seen, "g5"), nothing older is
// taken for it: a cached answer never makes the version before look like this
// one serving. It needs get, list and watch on the workloads; without the same
// on pods, replicasets and events, or get on pods/log, it sees less.
func Wait(ctx context.Context, c *cluster.Client, objs []release.Object, o Options) error {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Log == nil {
		o.Log = progress.Discard
	}
	if o.Hide == nil {
		o.Hide = func(text string) string { return text }
	}
	s := begin(ctx, c, objs)
	defer s.end()
	if len(s.scenes) == 0 {
		return nil
	}
	w := &waiter{stage: s, log: o.Log, hide: o.Hide, begun: time.Now(), spoken: time.Now(), said: map[string]string{}}
	timeout := time.NewTimer(o.Timeout)
	defer timeout.Stop()
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the rollout: %w", context.Cause(ctx))
		case <-timeout.C:
			return w.timedOut(ctx, o.Timeout)
		case <-s.changes:
		case <-beat.C:
		}
		done, err := w.look(ctx)
		if done || err != nil {
			return err
		}
		select { // let a burst pass
		case <-ctx.Done():
		case <-time.After(calm):
		}
	}
}

// Look judges objs once, in their order, without waiting. Objects that do not
// roll out serve.
func Look(ctx context.Context, c *cluster.Client, objs []release.Object) ([]Judgement, error) {
	s := begin(ctx, c, objs)
	defer s.end()
	for !s.ready() {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("look at the rollout: %w", context.Cause(ctx))
		case <-s.changes:
		}
	}
	if err := s.unreadable(); err != nil {
		return nil, err
	}
	found := map[string]Judgement{}
	for _, v := range s.views() {
		found[v.object.Key()] = Judge(v.Observed)
	}
	judged := make([]Judgement, len(objs))
	for i, o := range objs {
		j, ok := found[o.Key()]
		if !ok {
			j = Judgement{State: Serving}
		}
		judged[i] = j
	}
	return judged, nil
}

// waiter is one call of Wait.
type waiter struct {
	*stage
	log    progress.Log
	hide   func(string) string
	begun  time.Time
	spoken time.Time
	said   map[string]string // by object: the last line about it
	now    []verdict         // the last look
	absent map[reference]time.Time
	held   time.Time // since when a verdict waits for an event
}

// verdict is one object's judgement with what it was made from.
type verdict struct {
	view
	Judgement
}

// look judges everything once. It is done when all serve; the error is the
// *Failure of what is doomed.
func (w *waiter) look(ctx context.Context) (done bool, err error) {
	if late := w.late(); late > silence {
		// Time goes by and nothing is known: no grace may run out now.
		w.say("", "away", "the API server does not answer; waiting for it", time.Since(w.spoken) > heartbeat)
		return false, nil
	}
	delete(w.said, "")
	if !w.ready() {
		return false, nil
	}
	if err := w.unreadable(); err != nil {
		return false, err
	}
	done = true
	w.now = w.now[:0]
	for _, v := range w.views() {
		j := Judge(v.Observed)
		if j.State == Doomed && w.arrived(ctx, v.object, j.missing) {
			j.State = Suspect
		}
		if j.Detail != "" {
			j.Detail = w.hide(j.Detail)
		}
		w.now = append(w.now, verdict{view: v, Judgement: j})
		done = done && j.State == Serving
	}
	w.report()
	for _, v := range w.now {
		if v.State == Doomed && !w.unexplained(v) {
			return false, w.fail(ctx, v, 0)
		}
	}
	return done, nil
}

// unexplained holds the verdict on a container that may have been ended by the
// kubelet for a probe of its own: who did it stands in an event, which is
// written after the pod's status.
func (w *waiter) unexplained(v verdict) bool {
	if v.Reason != CrashLoop && v.Reason != Completed || !v.mayBeProbed(v.Pod, v.Container) {
		return false
	}
	if w.held.IsZero() {
		w.held = time.Now()
	}
	return time.Since(w.held) < eventsLate
}

// arrivedGrace is how long the kubelet is given to see what has been created:
// it asks again every ten seconds or so, and later and later.
const arrivedGrace = time.Minute

// arrived says whether the object that a pod misses is there by now, so that
// the pod need only be tried again. One request, and only before a verdict.
func (w *waiter) arrived(ctx context.Context, of release.Object, r reference) bool {
	if r == (reference{}) {
		return false
	}
	if since, ok := w.absent[r]; ok {
		return time.Since(since) < arrivedGrace
	}
	u, err := w.c.Get(ctx, release.Object{APIVersion: "v1", Kind: r.kind, Namespace: of.Namespace, Name: r.name})
	if err != nil || u == nil {
		return false
	}
	if w.absent == nil {
		w.absent = map[reference]time.Time{}
	}
	w.absent[r] = time.Now()
	return true
}

// timedOut blames the object that explains most.
func (w *waiter) timedOut(ctx context.Context, timeout time.Duration) error {
	var worst *verdict
	for i := range w.now {
		v := &w.now[i]
		if v.State == Serving {
			continue
		}
		if worst == nil || cmp.Or(cmp.Compare(v.State, worst.State), cmp.Compare(worst.Reason.rank(), v.Reason.rank())) > 0 {
			worst = v
		}
	}
	if worst == nil {
		return fmt.Errorf("wait for the rollout: the API server did not tell how it goes within %s", timeout)
	}
	v := *worst
	if v.Reason == "" {
		v.Reason, v.Detail = TimedOut, progressOf(v.object.Kind, v.Judgement)
	}
	return w.fail(ctx, v, timeout)
}

func (w *waiter) fail(ctx context.Context, v verdict, timeout time.Duration) *Failure {
	f := &Failure{Object: v.object, Judgement: v.Judgement, After: time.Since(w.begun), Timeout: timeout}
	f.Dossier = gather(ctx, w.c, v, w.hide)
	for _, err := range w.denials() {
		f.Dossier.Notes = append(f.Dossier.Notes, w.hide(short(err.Error())))
	}
	return f
}

// report writes a line for each change, and one in a while without any. What
// a trouble says in detail changes all the time and makes no line of its own.
func (w *waiter) report() {
	names := map[string]int{}
	for _, v := range w.now {
		names[v.object.Name]++
	}
	quiet := time.Since(w.spoken) > heartbeat
	for _, v := range w.now {
		name := v.object.Name
		if names[name] > 1 {
			name = v.object.String()
		}
		what := fmt.Sprint(v.State, v.Ready, v.Want, v.Old, v.Reason)
		w.say(v.object.Key(), what, name+": "+progressOf(v.object.Kind, v.Judgement), quiet && v.State != Serving)
	}
}

// say writes a line when what it is about has changed, or again.
func (w *waiter) say(of, what, line string, again bool) {
	if w.said[of] == what && !again {
		return
	}
	if w.said[of] == what {
		line += fmt.Sprintf(" (%s)", time.Since(w.begun).Round(time.Second))
	}
	w.said[of], w.spoken = what, time.Now()
	w.log.Linef("%s", line)
}

// progressOf reads "1 of 2 new pods ready, 2 old".
func progressOf(kind string, j Judgement) string {
	line := fmt.Sprintf("%d of %d new pods ready", j.Ready, j.Want)
	switch {
	case kind == "Job":
		line = fmt.Sprintf("%d of %d completions", j.Ready, j.Want)
	case known[kind+".apps"].Resource == "" && kind != "Pod":
		line = "not ready"
	case j.Want == 1:
		line = fmt.Sprintf("%d of 1 new pod ready", j.Ready)
	}
	if j.Old > 0 {
		line += fmt.Sprintf(", %d old", j.Old)
	}
	switch j.State {
	case Serving:
		if kind == "Job" {
			return "complete"
		}
		return "serving"
	case Suspect, Doomed:
		return fmt.Sprintf("%s; %s: %s", line, j.State, j.Detail)
	case Going:
	}
	return line
}

// stage is all that is watched.
type stage struct {
	c       *cluster.Client
	scenes  []*scene
	order   []release.Object
	changes chan struct{}
	cancel  context.CancelFunc
}

// view is one object and what is known of it.
type view struct {
	object release.Object
	Observed
}

func begin(ctx context.Context, c *cluster.Client, objs []release.Object) *stage {
	ctx, cancel := context.WithCancel(ctx)
	s := &stage{c: c, changes: make(chan struct{}, 1), cancel: cancel}
	poke := func() {
		select {
		case s.changes <- struct{}{}:
		default:
		}
	}
	spaces := map[string][]release.Object{}
	for _, o := range objs {
		if rollsOut(o) && !slices.ContainsFunc(s.order, func(p release.Object) bool { return p.Key() == o.Key() }) {
			s.order = append(s.order, o)
			spaces[o.Namespace] = append(spaces[o.Namespace], o)
		}
	}
	if len(spaces) == 0 {
		return s
	}
	ahead := clockAhead(ctx, c)
	for namespace, objects := range spaces {
		sc := watchScene(ctx, c, namespace, objects, poke)
		sc.ahead = ahead
		s.scenes = append(s.scenes, sc)
	}
	return s
}

// end stops all streams and waits for them.
func (s *stage) end() {
	s.cancel()
	for _, sc := range s.scenes {
		sc.running.Wait()
	}
}

func (s *stage) ready() bool {
	for _, sc := range s.scenes {
		if !sc.ready() {
			return false
		}
	}
	return true
}

func (s *stage) late() time.Duration {
	var longest time.Duration
	for _, sc := range s.scenes {
		longest = max(longest, sc.late())
	}
	return longest
}

// denials are what cannot be read and can be done without.
func (s *stage) denials() []error {
	var all []error
	for _, sc := range s.scenes {
		all = append(all, sc.refusals()...)
	}
	return all
}

// unreadable is the error where a workload itself cannot be read.
func (s *stage) unreadable() error {
	var all []error
	for _, sc := range s.scenes {
		for _, f := range sc.workloads {
			if _, err := f.state(); err != nil {
				all = append(all, err)
			}
		}
		for _, p := range sc.others {
			if err := p.refused(); err != nil {
				all = append(all, err)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("watch the rollout: %w", errors.Join(all...))
}

// views gives every object with what is known of it, in the caller's order.
func (s *stage) views() []view {
	known := map[string]Observed{}
	for _, sc := range s.scenes {
		for i, o := range sc.observe() {
			known[sc.objects[i].Key()] = o
		}
	}
	all := make([]view, len(s.order))
	for i, o := range s.order {
		all[i] = view{object: o, Observed: known[o.Key()]}
	}
	return all
}
