package action_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/action/actiontest"
	"github.com/fibership/fibership/internal/progress"
)

// TestMain is the action itself where a test starts this program once more.
func TestMain(m *testing.M) {
	behave := os.Getenv("FIBERSHIP_TEST_ACTION")
	if behave == "" {
		os.Exit(m.Run())
	}
	s := action.New("sample", action.Deploy, "waits to be cancelled")
	s.Output("status", "how it ended")
	action.Main(s, func(ctx context.Context, r *action.Run) error {
		fmt.Println("ready")
		if behave == "stubborn" {
			select {}
		}
		<-ctx.Done()
		r.Set("status", context.Cause(ctx).Error())
		return ctx.Err()
	})
}

// start runs this program as an action and returns once it is at work.
func start(t *testing.T, behave string) (*exec.Cmd, *strings.Builder, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "output")
	log := &strings.Builder{}
	ready := make(chan struct{})
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "FIBERSHIP_TEST_ACTION="+behave, "GITHUB_ACTIONS=true", "GITHUB_OUTPUT="+output, "GITHUB_STEP_SUMMARY=", "GITHUB_EVENT_PATH=")
	cmd.Stdout = writer(func(p []byte) {
		if log.Len() == 0 {
			close(ready)
		}
		log.Write(p)
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("the action did not start")
	}
	return cmd, log, output
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("ended with %v, want an exit code", err)
	}
	return exit.ExitCode()
}

func TestMain_isCancelled(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			cmd, log, output := start(t, "obedient")
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if exit := exitOf(t, cmd.Wait()); exit != 130 {
				t.Errorf("exit %d", exit)
			}
			if got := actiontest.ReadOutputs(t, output)["status"]; got != "cancelled" {
				t.Errorf("status %q: the cause did not reach the run", got)
			}
			if !strings.Contains(log.String(), "::error title=sample::cancelled\n") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestMain_endsAlsoWhatDoesNotStop(t *testing.T) {
	t.Parallel()
	cmd, log, _ := start(t, "stubborn")
	begun := time.Now()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	exit := exitOf(t, cmd.Wait())
	if took := time.Since(begun); exit != 130 || took >= 7*time.Second || took < action.Grace {
		t.Errorf("exit %d after %v", exit, took)
	}
	if !strings.Contains(log.String(), "::error title=Cancelled::") {
		t.Errorf("log:\n%s", log)
	}
}

// helpful is an error that knows more than its text.
type helpful struct{}

func (helpful) Error() string { return "2 tests failed" }
func (helpful) Next() string  { return "run go test ./orders" }
func (helpful) Annotations() []progress.Annotation {
	return []progress.Annotation{{Level: progress.Error, File: "orders/a_test.go", Line: 12, Column: 3, Title: "Test, failed: A", Message: "got 1\nwant 2"}}
}

func TestExec_tellsCauseAndNextStep(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	run := func(context.Context, *action.Run) error {
		return fmt.Errorf("test the module: %w", errors.Join(helpful{}, helpful{}))
	}
	got := actiontest.Exec(t, s, run, nil)
	note := "::error col=3,file=orders/a_test.go,line=12,title=Test%2C failed%3A A::got 1%0Awant 2\n"
	want := note + note + "::error title=sample::test the module: 2 tests failed%0A2 tests failed%0ANext: run go test ./orders\n"
	if got.Exit != 1 || got.Log != want {
		t.Errorf("exit %d, log\n%s\nwant\n%s", got.Exit, got.Log, want)
	}
	var stderr strings.Builder
	action.Exec(t.Context(), s, func(context.Context, *action.Run) error { return helpful{} }, nil, nil, &strings.Builder{}, &stderr)
	want = "error: orders/a_test.go:12:3: Test, failed: A: got 1\n  want 2\nerror: sample: 2 tests failed\n  Next: run go test ./orders\n"
	if stderr.String() != want {
		t.Errorf("at a terminal:\n%s\nwant\n%s", stderr.String(), want)
	}
}

func TestExec_reportsAPanic(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Secret("token", "a token")
	got := actiontest.Exec(t, s, func(context.Context, *action.Run) error {
		panic("at hunter2secret\n::error::forged")
	}, map[string]string{"token": "hunter2secret"})
	if got.Exit != 1 || strings.Count(got.Log, "hunter2secret") != 1 || !strings.Contains(got.Log, "run_test.go") {
		t.Errorf("exit %d, log:\n%s", got.Exit, got.Log)
	}
	if got := strings.Count(got.Log, "\n::error"); got != 1 {
		t.Errorf("%d errors, want one", got)
	}
}

func TestExec_closesTheGroupBeforeTheLastWords(t *testing.T) {
	got := actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(_ context.Context, r *action.Run) error {
		end := r.Group("first")
		r.Group("second")
		end() // of a group that is closed already: nothing
		_, _ = r.Foreign().Write([]byte("no line end"))
		return errors.New("no luck")
	}, nil)
	want := "::group::first\n::endgroup::\n::group::second\nno line end\n::endgroup::\n::error title=sample::no luck%0ANext: see what the log says above; where a server or the network was in trouble, run the job again\n"
	if got.Log != want {
		t.Errorf("log:\n%s", got.Log)
	}
}

func TestAnnotate_keepsToWhatGitHubShows(t *testing.T) {
	got := actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(_ context.Context, r *action.Run) error {
		for i := range 13 {
			r.Annotate(progress.Annotation{Level: progress.Error, File: "a.go", Line: i + 1, Message: "broken"})
			progress.Warn(r, "", "careful")
		}
		progress.Warn(r, "", "careful")
		return errors.New(strings.Repeat("é", 5000))
	}, nil)
	for text, want := range map[string]int{
		"::error ": 10, "::warning::": 10, "error: a.go:10: broken": 1, "\nerror: a.go:": 4,
		"4 more of level error are in the log only": 1, "4 more of level warning": 1, "… (shortened)": 1,
	} {
		if got := strings.Count(got.Log, text); got != want {
			t.Errorf("%q %d times, want %d", text, got, want)
		}
	}
	for line := range strings.Lines(got.Log) {
		if _, message, ok := strings.Cut(line, "title=sample::"); ok && len([]rune(strings.ReplaceAll(strings.TrimSpace(message), "%0A", "\n"))) != 4096 {
			t.Errorf("message of %d characters", len([]rune(message)))
		}
	}
}

func TestRun_isSafeForConcurrentUse(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Output("n", "a number")
	got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		done := make(chan struct{})
		for i := range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				w := r.Foreign()
				for j := range 50 {
					_, _ = fmt.Fprintf(w, "writer %d line %d\n", i, j)
					r.Linef("line %d", j)
					r.Group("g")()
					r.Mask(fmt.Sprintf("secret-%d-%d", i, j))
					r.Summary("s")
					r.Set("n", "1")
					progress.Warn(r, "t", "m")
				}
			}()
		}
		for range 8 {
			<-done
		}
		return nil
	}, nil)
	if got.Exit != 0 || strings.Count(got.Log, "writer ") != 400 {
		t.Errorf("exit %d, %d lines", got.Exit, strings.Count(got.Log, "writer "))
	}
}

func TestEvent_ofAPullRequestIsItsHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "event.json")
	event := `{"number": 12, "pull_request": {"number": 12, "head": {"sha": "headsha"}}, "repository": {"default_branch": "trunk"}}`
	if err := os.WriteFile(path, []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	var got action.Event
	actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(_ context.Context, r *action.Run) error {
		got = r.Event
		return nil
	}, nil,
		"GITHUB_EVENT_PATH="+path, "GITHUB_EVENT_NAME=pull_request", "GITHUB_SHA=mergesha", "GITHUB_REF=refs/pull/12/merge", "GITHUB_REF_NAME=12/merge",
		"GITHUB_REPOSITORY=acme/orders", "GITHUB_SERVER_URL=https://github.com", "GITHUB_RUN_ID=77", "GITHUB_RUN_ATTEMPT=2",
		"GITHUB_API_URL=https://api.github.com", "GITHUB_ACTOR=octocat", "GITHUB_WORKSPACE=/github/workspace", "GITHUB_REF_TYPE=branch")
	want := action.Event{
		Name: "pull_request", Repository: "acme/orders", SHA: "headsha", Ref: "refs/pull/12/merge", RefName: "12/merge", RefType: "branch",
		DefaultBranch: "trunk", PullRequest: 12, Actor: "octocat", RunURL: "https://github.com/acme/orders/actions/runs/77/attempts/2",
		APIURL: "https://api.github.com", ServerURL: "https://github.com", Workspace: "/github/workspace", InActions: true,
	}
	if got != want {
		t.Errorf("got %+v", got)
	}
}

func TestEvent_thatCannotBeReadIsAWarning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(context.Context, *action.Run) error { return nil }, nil, "GITHUB_EVENT_PATH="+path)
	if got.Exit != 0 || !strings.Contains(got.Log, "::warning title=event::read the event file:") {
		t.Errorf("exit %d, log:\n%s", got.Exit, got.Log)
	}
}

func TestExec_namesTheNextStepHoweverLongTheCause(t *testing.T) {
	cause := strings.Repeat("one more fault\n", 500) + "the last fault"
	got := actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(context.Context, *action.Run) error {
		return fmt.Errorf("%s: %w", cause, helpful{})
	}, nil)
	for line := range strings.Lines(got.Log) {
		if _, message, ok := strings.Cut(line, "title=sample::"); ok && !strings.HasSuffix(message, "… (shortened)%0ANext: run go test ./orders\n") {
			t.Errorf("the annotation ends with %q", message[max(0, len(message)-100):])
		}
	}
	if !strings.Contains(got.Log, "\nthe last fault: 2 tests failed\n") {
		t.Error("the log does not have all of it")
	}
}

func TestExec_tellsNotesToWhoeverReadsFiles(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Secret("token", "a token")
	var stdout, stderr strings.Builder
	exit := action.Exec(t.Context(), s, func(context.Context, *action.Run) error { return helpful{} },
		[]string{"INPUT_TOKEN=hunter2secret", "GITHUB_STEP_SUMMARY=" + filepath.Join(t.TempDir(), "summary")}, nil, &stdout, &stderr)
	if exit != 1 || !strings.Contains(stderr.String(), "::error title=sample::2 tests failed%0ANext: run go test ./orders\n") {
		t.Errorf("exit %d, log:\n%s", exit, stderr.String())
	}
	if log := stdout.String() + stderr.String(); strings.Contains(log, "hunter2secret") {
		t.Errorf("the secret is in the log:\n%s", log)
	}
}

func TestEvent_takesBranchAndTagFromTheRefAlone(t *testing.T) {
	for ref, want := range map[string][2]string{
		"refs/heads/feature/a": {"branch", "feature/a"}, "refs/tags/v1.2.3": {"tag", "v1.2.3"}, "refs/pull/12/merge": {"", ""},
	} {
		var got action.Event
		actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(_ context.Context, r *action.Run) error {
			got = r.Event
			return nil
		}, nil, "GITHUB_REF="+ref)
		if got.RefType != want[0] || got.RefName != want[1] {
			t.Errorf("%s: a %q named %q", ref, got.RefType, got.RefName)
		}
	}
}

func TestIdentity_isTheRunnersTokenAndHidden(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-token" || r.URL.Query().Get("audience") != "sts.amazonaws.com" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"value": "hunter2oidc"}`)
	}))
	t.Cleanup(server.Close)
	s := action.New("sample", action.Deploy, "shows who it is")
	got := actiontest.Exec(t, s, func(ctx context.Context, r *action.Run) error {
		token, err := r.Identity()(ctx, "sts.amazonaws.com")
		r.Linef("it is %s", token)
		return err
	}, nil, "ACTIONS_ID_TOKEN_REQUEST_URL="+server.URL+"?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=request-token")
	if got.Exit != 0 || !strings.Contains(got.Log, "it is ***") {
		t.Errorf("exit %d, log:\n%s", got.Exit, got.Log)
	}
	got = actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		if r.Identity() != nil {
			return errors.New("a token without id-token: write")
		}
		return nil
	}, nil)
	if got.Exit != 0 {
		t.Errorf("log:\n%s", got.Log)
	}
}
