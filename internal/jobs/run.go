package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

// Options of a run.
type Options struct {
	Namespace string
	Labels    map[string]string // on the Job, beside Label
	Timeout   time.Duration     // where the Job has no activeDeadlineSeconds
	Log       progress.Log
	Hide      func(text string) string // as rollout.Options has it
	// Output takes each line of the log, of one container at a time; nil shows
	// them in Log. It is called by several goroutines at once.
	Output func(pod, container, line string)
}

// A Failure is why a Job did not succeed.
type Failure struct {
	Job string // as written in the manifest
	// Ran says that a container of it may have run, and may have changed
	// something.
	Ran bool
	Err error // *rollout.Failure where the Job itself, or its time, came to an end
}

func (f *Failure) Error() string { return fmt.Sprintf("job %s: %v", f.Job, f.Err) }

func (f *Failure) Unwrap() error { return f.Err }

const (
	late        = 20 * time.Second       // that the cluster may be in ending a Job whose time is up
	lastLines   = 3 * time.Second        // that the log may come after the end
	removal     = 3 * time.Second        // that removing a Job may take
	hurried     = 500 * time.Millisecond // the same for a cancelled run, which must undo more
	hurriedAway = 1500 * time.Millisecond
)

// Rights is what running a Job needs.
func Rights(namespace string) []cluster.Access {
	var all []cluster.Access
	for _, verb := range []string{"create", "patch", "get", "list", "watch", "delete"} {
		all = append(all, cluster.Access{Verb: verb, Group: "batch", Resource: "jobs", Namespace: namespace})
	}
	return append(all,
		cluster.Access{Verb: "list", Resource: "pods", Namespace: namespace},
		cluster.Access{Verb: "watch", Resource: "pods", Namespace: namespace},
		cluster.Access{Verb: "get", Resource: "pods", Subresource: "log", Namespace: namespace},
	)
}

// DryRun lets the API server judge the Job. Nothing is written.
func (j *Job) DryRun(ctx context.Context, c *cluster.Client, o Options) error {
	u, _, err := j.instance(o)
	if err != nil {
		return err
	}
	_, err = c.Apply(ctx, u, cluster.ApplyOptions{DryRun: true})
	if errors.Is(err, cluster.ErrNoDryRun) {
		return nil
	}
	return err
}

// Run runs the Job and returns nil when it has succeeded. It fails, with a
// *Failure, as soon as the Job has failed or surely will, or when its time is
// up. The Job is removed before Run returns, also when ctx ends; where that
// does not work, Sweep does it in the next run.
func (j *Job) Run(ctx context.Context, c *cluster.Client, o Options) error {
	u, deadline, err := j.instance(o)
	if err != nil {
		return err
	}
	began := time.Now()
	live, err := c.Apply(ctx, u, cluster.ApplyOptions{})
	if err != nil {
		return &Failure{Job: j.GetName(), Ran: ctx.Err() != nil, Err: err}
	}
	object := release.Describe(live)
	object.UID, object.Seen = string(live.GetUID()), cluster.Seen(live)
	o.Log.Linef("Job %s runs as %s, for %v at the most", j.GetName(), u.GetName(), deadline)
	f := follow(ctx, c, j, u.GetName(), o)
	err = rollout.Wait(ctx, c, []release.Object{object}, rollout.Options{Timeout: deadline + late, Log: o.Log, Hide: o.Hide})
	ran := f.end(ctx)
	remove(ctx, c, object, o.Log)
	if err != nil {
		return &Failure{Job: j.GetName(), Ran: ran || ctx.Err() != nil, Err: err}
	}
	o.Log.Linef("Job %s succeeded after %v", j.GetName(), time.Since(began).Round(100*time.Millisecond))
	return nil
}

// remove takes the Job away, with its pods.
func remove(ctx context.Context, c *cluster.Client, o release.Object, log progress.Log) {
	limit := removal
	if ctx.Err() != nil {
		limit = hurriedAway
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := c.Delete(ctx, o, false); err != nil {
		log.Linef("%s was not removed, the next run does it: %v", o, err)
	}
}
