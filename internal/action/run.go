package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/fibership/fibership/internal/progress"
)

// Run is one run of an action: what run is handed.
type Run struct {
	progress.Log
	Event Event

	getenv  func(string) string
	console *console
	outputs *outputs
	summary *summary
}

// Exit codes.
const (
	exitDone      = 0
	exitFailed    = 1
	exitInputs    = 2
	exitCancelled = 130
)

// ErrCancelled is the cause of the context's end when the runner, or a person
// at a terminal, cancelled the run.
var ErrCancelled = errors.New("cancelled")

// Grace is how long run may take to return once it was cancelled. The runner
// sends SIGTERM 7.5 s after SIGINT and SIGKILL 2.5 s later; the contract
// promises an end in under 7 s.
const Grace = 6500 * time.Millisecond

// Set records an output; it is written at once, so that later steps know how
// far a failed run came. Setting an output that was not declared panics.
func (r *Run) Set(name, value string) { r.outputs.set(name, value) }

// Mask hides value from everything printed from now on.
func (r *Run) Mask(value string) { r.console.mask(value) }

// Identity gives the runner's OIDC tokens, which say to whom they are meant for
// that this is the repository's job; nil where the runner gives none: a job has
// them by `permissions: id-token: write`.
func (r *Run) Identity() func(ctx context.Context, audience string) (string, error) {
	if r.getenv("ACTIONS_ID_TOKEN_REQUEST_URL") == "" || r.getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN") == "" {
		return nil
	}
	runner := githubactions.New(githubactions.WithGetenv(r.getenv))
	return func(ctx context.Context, audience string) (string, error) {
		ctx, stop := context.WithTimeout(ctx, identityWithin)
		defer stop()
		token, err := runner.GetIDToken(ctx, audience)
		if err != nil {
			return "", fmt.Errorf("ask the runner for an OIDC token: %w", err)
		}
		r.Mask(token)
		return token, nil
	}
}

// identityWithin is how long the runner may take to answer.
const identityWithin = 20 * time.Second

// Summary appends Markdown of our own to the job summary. Text from outside
// goes through Escape or Code first.
func (r *Run) Summary(markdown string) { r.summary.add(markdown) }

// Main runs an action and ends the process with its exit code: 0 done, 1 the
// work failed or was refused, 2 wrong inputs, 130 cancelled.
func Main(s *Spec, run func(ctx context.Context, r *Run) error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(ErrCancelled)
		// A second signal changes nothing: the runner always sends one.
		time.Sleep(Grace)
		tooLate()
		os.Exit(exitCancelled)
	}()
	os.Exit(Exec(ctx, s, run, os.Environ(), os.Args[1:], os.Stdout, os.Stderr))
}

// tooLate tells that the run did not return in its grace. It does not wait for
// a reader: the pipe may be full, and what holds the console may never let go.
func tooLate() {
	told := make(chan struct{})
	go func() {
		defer close(told)
		const message = "cancelled, but what was begun did not stop in time; the next run finishes or undoes it"
		if os.Getenv("GITHUB_ACTIONS") == "true" {
			_, _ = fmt.Fprintln(os.Stdout, "\n::error title=Cancelled::"+message)
			return
		}
		_, _ = fmt.Fprintln(os.Stderr, "error: "+message)
	}()
	select {
	case <-told:
	case <-time.After(100 * time.Millisecond):
	}
}

// Exec is Main without the process: environ and args (without the program's
// name) as a process has them, the exit code as result. The log goes to stdout
// in Actions; at a terminal it goes to stderr, so that stdout holds the
// outputs alone.
func Exec(ctx context.Context, s *Spec, run func(context.Context, *Run) error, environ, args []string, stdout, stderr io.Writer) int {
	getenv := lookup(environ)
	given, mistakes := s.given(getenv, args)
	switch {
	case given.help:
		_, _ = io.WriteString(stdout, s.help())
		return exitDone
	case given.describe:
		_, _ = stdout.Write(s.describe())
		return exitDone
	}

	event, eventErr := readEvent(getenv)
	c := &console{out: stderr}
	if event.InActions {
		c = &console{out: stdout, inActions: true}
	}
	// Who set up these files reads notes as the runner does; a mask would be told
	// to who does not take it away.
	c.annotates = event.InActions || getenv("GITHUB_OUTPUT") != "" || getenv("GITHUB_STEP_SUMMARY") != ""
	defer c.close()
	for _, input := range s.Inputs {
		if input.Secret {
			c.mask(given.raw[input.Name])
			c.mask(getenv(variable(input.Name))) // also where a flag won
		}
	}
	r := &Run{
		Log:     c,
		Event:   event,
		getenv:  getenv,
		console: c,
		outputs: &outputs{spec: s, console: c, path: getenv("GITHUB_OUTPUT"), stdout: stdout},
		summary: &summary{console: c, path: getenv("GITHUB_STEP_SUMMARY")},
	}
	if eventErr != nil {
		progress.Warn(c, "event", eventErr.Error())
	}
	var err error
	if mistakes = append(mistakes, s.store(given)...); len(mistakes) > 0 {
		err = errors.Join(joined(mistakes), s.further(ctx, r, mistakes))
	} else {
		stop := context.AfterFunc(ctx, func() {
			c.Linef("%v: no new change is begun; what must be undone is undone", context.Cause(ctx))
		})
		quiet := c.beat(silence)
		err = safely(ctx, r, run)
		quiet()
		stop()
	}
	c.close()
	defer c.unshown()
	return r.exit(ctx, s, given, errors.Join(err, r.outputs.failed()))
}

// exit tells what became of the run, as annotations and as the exit code.
func (r *Run) exit(ctx context.Context, s *Spec, given given, err error) int {
	if errors.Is(context.Cause(ctx), ErrCancelled) {
		message := "cancelled"
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrCancelled) {
			message += ": " + err.Error()
		}
		r.console.final(progress.Annotation{Title: s.Name, Message: message})
		return exitCancelled
	}
	if err == nil {
		return exitDone
	}
	if mistakes := wrongInputs(err); len(mistakes) > 0 {
		for _, m := range mistakes {
			r.console.final(m.annotation(s, given)) // each is one, whatever GitHub shows of them
		}
		return exitInputs
	}
	for _, note := range annotations(err) {
		r.Annotate(note)
	}
	message, next := err.Error(), "\nNext: "+cmp.Or(nextStep(err), anyStep)
	if room := maxNote - utf8.RuneCountInString(next); utf8.RuneCountInString(message) > room {
		r.Linef("%s%s", message, next) // whole
		message = shorten(message, max(room, maxNote/4))
	}
	r.console.final(progress.Annotation{Title: s.Name, Message: message + next})
	return exitFailed
}

// anyStep is the step to take where nobody knows of a better one.
const anyStep = "see what the log says above; where a server or the network was in trouble, run the job again"

// safely turns a panic into an error: its text may hold a secret, and must
// not reach the log but through the console.
func safely(ctx context.Context, r *Run, run func(context.Context, *Run) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			_, _ = fmt.Fprintf(r.Foreign(), "panic: %v\n%s\n", p, debug.Stack())
			err = &panicked{value: p}
		}
	}()
	return run(ctx, r)
}

type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("internal error: %v", p.value) }

func (p *panicked) Next() string {
	return "report this with the log at https://github.com/fibership/fibership/issues"
}
