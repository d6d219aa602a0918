// Command demo tells the whole story on a real cluster and registry, through
// the real binaries, each run as the runner would: a service goes live, is
// replaced by a canary under constant load, a broken version is stopped in
// staging, another one in production, and the form rolls back. It ends with a
// table, and fails where something did not end as told or a request was lost.
//
// It is run in the network of the cluster, by `make demo`.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is the stage: where the parts are, and what happened so far.
type demo struct {
	bin, example, work string
	registry           string
	out                io.Writer
	place              *place
	load               *loadgen.Load
	rows               []row
}

// row is one line of the last table.
type row struct {
	step, release, status string
	took                  time.Duration
	counts                loadgen.Counts
	loaded                bool
}

func run(ctx context.Context) error {
	bin := flag.String("bin", "bin", "folder of the actions' binaries")
	example := flag.String("example", "examples/orders", "folder of the example service")
	rate := flag.Int("rate", 50, "requests a second on production")
	through := flag.Bool("through-api-server", false, "send the load through the API server: where the cluster's network is not ours")
	flag.Parse()

	work, err := os.MkdirTemp("", "fibership-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// Compiler and tests may run as another user, who has to get here.
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	d := &demo{work: work, out: os.Stdout, registry: os.Getenv("FIBERSHIP_TEST_REGISTRY")}
	if d.registry == "" {
		return errors.New("set FIBERSHIP_TEST_REGISTRY to a registry that this machine and the cluster reach, host:port; `make demo` does")
	}
	if d.bin, err = filepath.Abs(*bin); err != nil {
		return err
	}
	if d.example, err = filepath.Abs(*example); err != nil {
		return err
	}
	if d.place, err = makePlace(ctx); err != nil {
		return err
	}
	defer d.place.remove()
	began := time.Now()
	err = d.tell(ctx, *rate, *through)
	lost := d.stopLoad()
	d.table(time.Since(began))
	return errors.Join(err, lost)
}

// tell is the story.
func (d *demo) tell(ctx context.Context, rate int, through bool) error {
	d.chapter("Version 1 goes live")
	if err := d.ship(ctx, 1); err != nil {
		return err
	}
	if err := d.promote(ctx, "1: first release", "succeeded", "rolling"); err != nil {
		return err
	}
	var err error
	if d.load, err = d.place.begin(ctx, rate, through); err != nil {
		return err
	}
	d.say("constant load on production from now on: %d requests a second", rate)

	d.chapter("Version 2 is promoted by canary, under load")
	if err := d.ship(ctx, 2); err != nil {
		return err
	}
	if err := d.promote(ctx, "2: canary", "succeeded", "canary"); err != nil {
		return err
	}

	d.chapter("Version 3 crashes: staging refuses it")
	if err := d.build(ctx, 3); err != nil {
		return err
	}
	if err := d.stage(ctx, "3: staging refuses it", "rolled-back"); err != nil {
		return err
	}

	d.chapter("Version 4 fails only in production: the canary is aborted")
	if err := d.ship(ctx, 4); err != nil {
		return err
	}
	if err := d.promote(ctx, "4: canary aborted", "rolled-back", "canary"); err != nil {
		return err
	}

	d.chapter("Rollback by form: back to version 1")
	return d.step(ctx, "rollback by form", "succeeded", "rollback", map[string]string{
		"environment": "production", "namespace": d.place.production, "to": "previous", "reason": "the demo's last act",
	})
}

// ship builds a version and brings it to staging.
func (d *demo) ship(ctx context.Context, version int) error {
	if err := d.build(ctx, version); err != nil {
		return err
	}
	return d.stage(ctx, fmt.Sprintf("%d: staging", version), "succeeded")
}

func (d *demo) build(ctx context.Context, version int) error {
	if err := checkout(d.example, d.work, version); err != nil {
		return err
	}
	d.place.version = version
	return d.step(ctx, fmt.Sprintf("%d: test, build, push", version), "", "build-image", map[string]string{
		"image": d.registry + "/demo/orders", "tags": fmt.Sprintf("v%d", version), "include": "./public:/app/public",
		"unprivileged": "false", // the example is our own, and lies where another user may not read
	})
}

func (d *demo) stage(ctx context.Context, step, status string) error {
	return d.step(ctx, step, status, "deploy-staging", map[string]string{
		"image": d.place.image, "namespace": d.place.staging, "manifests": "deploy/staging",
		"smoke-tests": "GET /readyz => 200\nGET /orders => 200\nGET / => 200 contains \"orders\"",
	})
}

func (d *demo) promote(ctx context.Context, step, status, strategy string) error {
	return d.step(ctx, step, status, "promote", map[string]string{
		"image": d.place.image, "from-namespace": d.place.staging, "namespace": d.place.production,
		"manifests": "deploy/production", "strategy": strategy, "steps": "20%,50%", "step-duration": "8s", "watch": "5s",
		"analysis": "restarts < 1\nerror-rate < 1%", "metrics": "pods", "on-inconclusive": "advance",
	})
}

// step runs one action and makes its line of the table.
func (d *demo) step(ctx context.Context, title, status, action string, inputs map[string]string) error {
	var before loadgen.Counts
	if d.load != nil {
		before = d.load.Counts()
	}
	d.say("── %s (%s)", title, action)
	inputs["service"] = "orders"
	if action == "build-image" {
		delete(inputs, "service")
	}
	log := &indent{to: d.out}
	step := runner.Step{
		Binary: filepath.Join(d.bin, action), Inputs: inputs, Workspace: filepath.Join(d.work, "orders"), Log: log,
		Env: map[string]string{
			"GITHUB_REPOSITORY": "acme/orders", "GITHUB_ACTOR": "demo", "GITHUB_SHA": commit(d.place.version),
			"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch",
		},
	}
	o, err := step.Run(ctx)
	log.flush()
	if err != nil {
		return err
	}
	r := row{step: title, release: o.Outputs["release"], status: o.Outputs["status"], took: o.Took, loaded: d.load != nil}
	if d.load != nil {
		r.counts = d.load.Counts().Sub(before)
	}
	if action == "build-image" {
		r.status = "pushed"
		if o.Exit != 0 {
			r.status = "failed"
		}
		d.place.image = o.Outputs["image"]
	}
	d.rows = append(d.rows, r)
	d.say("── %s: %s in %.1f s", title, r.status, o.Took.Seconds())
	wantExit := 0
	if status == "rolled-back" {
		wantExit = 1
	}
	if o.Exit != wantExit || status != "" && r.status != status {
		return fmt.Errorf("%s ended with exit code %d and status %q; %d and %q were to come", title, o.Exit, r.status, wantExit, status)
	}
	return nil
}

// stopLoad ends the load; the error says that requests were lost.
func (d *demo) stopLoad() error {
	if d.load == nil {
		return nil
	}
	total := d.load.Stop()
	d.load = nil
	if total.Failed > 0 {
		return fmt.Errorf("requests were lost: %v", total)
	}
	return nil
}

func (d *demo) table(took time.Duration) {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "step\trelease\tstatus\tseconds\trequests sent\trequests failed")
	var sent, failed int
	for _, r := range d.rows {
		counted := "–\t–"
		if r.loaded {
			counted = fmt.Sprintf("%d\t%d", r.counts.Sent, r.counts.Failed)
			sent, failed = sent+r.counts.Sent, failed+r.counts.Failed
		}
		release := r.release
		if release == "" {
			release = "–"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\n", r.step, release, r.status, r.took.Seconds(), counted)
	}
	fmt.Fprintf(w, "all\t\t\t%.1f\t%d\t%d\n", took.Seconds(), sent, failed)
	_ = w.Flush()
}

func (d *demo) chapter(title string) { fmt.Fprintf(d.out, "\n━━ %s\n", title) }

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// indent sets an action's log apart.
type indent struct {
	to   io.Writer
	rest []byte
}

func (i *indent) Write(p []byte) (int, error) {
	i.rest = append(i.rest, p...)
	for {
		n, line, err := bufio.ScanLines(i.rest, false)
		if err != nil || n == 0 {
			return len(p), err
		}
		// What the runner takes away: ends of groups, and values to mask.
		if text := string(line); !strings.HasPrefix(text, "::endgroup") && !strings.HasPrefix(text, "::add-mask::") {
			fmt.Fprintf(i.to, "   │ %s\n", strings.TrimPrefix(text, "::group::"))
		}
		i.rest = i.rest[n:]
	}
}

func (i *indent) flush() {
	if len(i.rest) > 0 {
		fmt.Fprintf(i.to, "   │ %s\n", i.rest)
		i.rest = nil
	}
}
