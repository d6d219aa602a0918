package kill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// Next is the run that comes after the killed one.
type Next int

// The runs that come next, taken in turn.
const (
	Settle   Next = iota // rollback to: live, what a pipeline's last job does
	Again                // the killed run, started once more
	Rollback             // the form as it comes
	nexts
)

func (n Next) String() string {
	switch n {
	case Again:
		return "the same run again"
	case Rollback:
		return "rollback"
	case Settle, nexts:
	}
	return "rollback to: live"
}

// Tried is what came of one point.
type Tried struct {
	Victim  string
	Point   Point
	Next    Next
	At      string // the request that was killed at; empty: the run ended before
	Release release.Record
	Load    loadgen.Counts
	Err     error // what does not hold
	Log     string
}

func (t Tried) String() string {
	at := t.At
	if at == "" {
		at = "ended before"
	}
	return fmt.Sprintf("%s killed at %s (%s), then %s", t.Victim, t.Point, at, t.Next)
}

// try kills one run at the point, lets the next one come, and judges.
func (l *lane) try(ctx context.Context, v Victim, at Point, next Next) Tried {
	tried := Tried{Victim: v.Name, Point: at, Next: next}
	tried.Err = func() error {
		inputs, err := l.prepare(ctx, v)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		load, err := l.load(ctx)
		if err != nil {
			return err
		}
		err = l.killAndMend(ctx, v, inputs, &tried)
		tried.Load = load.Stop()
		if tried.Load.Failed > 0 {
			err = errors.Join(err, fmt.Errorf("requests of users: %v", tried.Load))
		}
		return err
	}()
	return tried
}

func (l *lane) killAndMend(ctx context.Context, v Victim, inputs map[string]string, tried *Tried) error {
	killed, err := l.under(ctx, v, inputs, tried.Point)
	tried.Log, tried.At = killed.Log, killed.at
	switch {
	case err != nil:
		return err
	case tried.At == "" && killed.Exit != v.Exit:
		return fmt.Errorf("%s ended by itself with exit code %d", v.Action, killed.Exit)
	case tried.At != "" && tried.Point.Moment == Cancelled && killed.ended > cancelWithin:
		return fmt.Errorf("%s ended %v after its cancel", v.Action, killed.ended)
	case tried.At != "" && tried.Point.Moment == Cancelled && killed.Exit != 130 && killed.Exit != v.Exit:
		return fmt.Errorf("%s was cancelled and ended with exit code %d", v.Action, killed.Exit)
	}
	left, err := l.store().List(ctx)
	if err != nil {
		return err
	}
	want, err := expected(left, v, inputs, tried.Next)
	if err != nil {
		return err
	}
	action, then, exit := v.Action, inputs, v.Exit
	switch tried.Next {
	case Settle, nexts:
		action, then, exit = "rollback", map[string]string{"to": "live"}, 0
	case Rollback:
		action, then, exit = "rollback", nil, 0
	case Again:
	}
	o, err := l.exits(ctx, exit, action, then)
	tried.Log += "\n--- then " + tried.Next.String() + "\n" + o.Log
	if err != nil {
		return fmt.Errorf("the next run: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if tried.Release, err = l.whole(ctx); err != nil {
		return err
	}
	return wants(tried.Release, want)
}

// cancelWithin is what the runner gives a cancelled action before it kills.
const cancelWithin = 7500 * time.Millisecond

// end is how a run behind a proxy ended.
type end struct {
	runner.Outcome
	requests int
	at       string        // the request at which it was killed; empty: it ended before
	ended    time.Duration // since then
}

// under runs the victim behind a proxy.
func (l *lane) under(ctx context.Context, v Victim, inputs map[string]string, point Point) (end, error) {
	proxy, err := StartProxy(l.client.REST, point)
	if err != nil {
		return end{}, err
	}
	defer proxy.Close()
	step := l.step(v.Action, inputs)
	if step.Inputs["kubeconfig"], err = proxy.Kubeconfig(); err != nil {
		return end{}, err
	}
	process, err := step.Start(ctx)
	if err != nil {
		return end{}, err
	}
	if point.Moment == Cancelled {
		proxy.Kills(func() error { return process.Signal(os.Interrupt) })
	} else {
		proxy.Kills(process.Kill)
	}
	o, err := process.Wait()
	e := end{Outcome: o, requests: proxy.Requests()}
	if err != nil {
		return e, err
	}
	var when time.Time
	e.at, when, err = proxy.Killed()
	e.ended = time.Since(when)
	return e, err
}

// prepare brings the lane to where the victim has something to do, and gives
// the inputs of its run.
func (l *lane) prepare(ctx context.Context, v Victim) (map[string]string, error) {
	if v.Wreck != nil {
		inputs, err := l.prepare(ctx, v.Wreck.Of)
		if err != nil {
			return nil, err
		}
		_, err = l.under(ctx, v.Wreck.Of, inputs, v.Wreck.At)
		return v.Inputs, err
	}
	h, err := l.store().List(ctx)
	if err != nil {
		return nil, err
	}
	live, _ := h.Live()
	other := 0
	if strings.HasSuffix(live.Image, l.images[0][strings.LastIndexByte(l.images[0], '@'):]) {
		other = 1
	}
	if err := l.want(v); err != nil {
		return nil, err
	}
	if v.Action == "rollback" {
		// What is live must differ from what is gone back to.
		brings := Victim{Action: "deploy-staging"}
		if v.Of != nil {
			brings = *v.Of
		}
		if _, err := l.must(ctx, brings.Action, l.release(brings, other)); err != nil {
			return nil, err
		}
		inputs := map[string]string{"reason": "killed on the way"}
		maps.Copy(inputs, v.Inputs)
		if v.Of == nil {
			return inputs, nil
		}
		return inputs, l.warm(ctx)
	}
	return l.release(v, other), nil
}

// release is the inputs by which v brings an image.
func (l *lane) release(v Victim, image int) map[string]string {
	inputs := map[string]string{"image": l.images[image]}
	if v.Action == "promote" {
		inputs["from"], inputs["from-namespace"] = "staging", l.sources[image]
	}
	maps.Copy(inputs, v.Inputs)
	return inputs
}

// warm waits until what is kept warm is ready; that nothing is is an error.
func (l *lane) warm(ctx context.Context) error {
	for {
		jobs, err := l.client.Kube.BatchV1().Jobs(l.target).List(ctx, metav1.ListOptions{LabelSelector: traffic.WarmLabel})
		if err != nil {
			return err
		}
		if len(jobs.Items) == 0 {
			return errors.New("nothing is kept warm")
		}
		if !slices.ContainsFunc(jobs.Items, func(j batchv1.Job) bool { return j.Status.Ready == nil || *j.Status.Ready < *j.Spec.Parallelism }) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
