package action_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/action/actiontest"
)

var update = flag.Bool("update", false, "write the golden files")

// sample declares one input of each kind.
type sample struct {
	*action.Spec
	image    *string
	strategy *string
	tests    *[]string
	steps    *[]string
	dryRun   *bool
	timeout  *time.Duration
	coverage *float64
	replicas *int
	token    *action.Secret
	flags    *map[string]string
}

func newSample() sample {
	s := action.New("sample", action.Deploy, "shows every kind of input")
	return sample{
		Spec:     s,
		image:    s.Text("image", "what to ship", action.Required(), action.Example("ghcr.io/acme/orders")),
		strategy: s.Choice("strategy", "how to ship", []string{"rolling", "canary"}, action.Default("canary"), action.Example("rolling")),
		tests:    s.List("tests", "what to test", action.Default("./...")),
		steps:    s.Words("steps", "how far to go at once", action.Default("10%,50%"), action.Example("10%,50%")),
		dryRun:   s.Bool("dry-run", "only tell", action.Default("false"), action.Example("true")),
		timeout:  s.Duration("timeout", "how long to wait", action.Default("5m"), action.Example("90s")),
		coverage: s.Percent("min-coverage", "the least coverage", action.Example("80%")),
		replicas: s.Number("replicas", "how many", action.Default("2"), action.Example("3")),
		token:    s.Secret("github-token", "to talk to GitHub", action.Expression("${{ github.token }}"), action.DefaultText("none")),
		flags: action.Parsed(s, "env", "list", "variables", func(raw string) (map[string]string, error) {
			name, value, ok := strings.Cut(raw, "=")
			if !ok {
				return nil, errors.New("expected NAME=value")
			}
			return map[string]string{name: value}, nil
		}, action.Example("LEVEL=debug")),
	}
}

func (s sample) held() map[string]any {
	return map[string]any{
		"image": *s.image, "strategy": *s.strategy, "tests": *s.tests, "steps": *s.steps, "dry-run": *s.dryRun,
		"timeout": *s.timeout, "min-coverage": *s.coverage, "replicas": *s.replicas,
		"github-token": s.token.Reveal(), "env": *s.flags,
	}
}

func TestInputs_areParsed(t *testing.T) {
	s := newSample()
	got := actiontest.Exec(t, s.Spec, func(context.Context, *action.Run) error { return nil }, map[string]string{
		"image": " ghcr.io/acme/orders \n", "strategy": "rolling", "tests": "# all\n./a\n\n ./b#c \n", "steps": "5%, 20%\n70%,",
		"dry-run": "TRUE", "timeout": "90s", "min-coverage": "82.5%", "replicas": "0", "github-token": "t0ken-value",
		"env": "A=1", "unknown-input": "is left to the runner to warn of",
	})
	if got.Exit != 0 {
		t.Fatalf("exit %d:\n%s", got.Exit, got.Log)
	}
	want := map[string]any{
		"image": "ghcr.io/acme/orders", "strategy": "rolling", "tests": []string{"./a", "./b#c"}, "steps": []string{"5%", "20%", "70%"},
		"dry-run": true, "timeout": 90 * time.Second, "min-coverage": 0.825, "replicas": 0,
		"github-token": "t0ken-value", "env": map[string]string{"A": "1"},
	}
	if diff := cmp.Diff(want, s.held()); diff != "" {
		t.Error(diff)
	}
}

func TestInputs_emptyIsNotGiven(t *testing.T) {
	s := newSample()
	inputs := map[string]string{"image": "x"}
	for _, input := range s.Inputs[1:] {
		inputs[input.Name] = "  "
	}
	if got := actiontest.Exec(t, s.Spec, func(context.Context, *action.Run) error { return nil }, inputs); got.Exit != 0 {
		t.Fatalf("exit %d:\n%s", got.Exit, got.Log)
	}
	want := map[string]any{
		"image": "x", "strategy": "canary", "tests": []string{"./..."}, "steps": []string{"10%", "50%"}, "dry-run": false,
		"timeout": 5 * time.Minute, "min-coverage": 0.0, "replicas": 2, "github-token": "", "env": map[string]string(nil),
	}
	if diff := cmp.Diff(want, s.held()); diff != "" {
		t.Error(diff)
	}
}

func TestInputs_flagsWin(t *testing.T) {
	s := newSample()
	environ := append(actiontest.Environ(map[string]string{"image": "a", "dry-run": "false", "replicas": "5"}), "IMAGE=b")
	exit := action.Exec(t.Context(), s.Spec, func(context.Context, *action.Run) error { return nil },
		environ, []string{"--image", "c", "--dry-run", "--timeout=1m", "--replicas="}, &strings.Builder{}, os.Stderr)
	if exit != 0 || *s.image != "c" || !*s.dryRun || *s.timeout != time.Minute || *s.replicas != 2 {
		t.Errorf("exit %d, held %v", exit, s.held())
	}
}

func TestInputs_everythingWrongIsReportedAtOnce(t *testing.T) {
	s := newSample()
	touched := false
	got := actiontest.Exec(t, s.Spec, func(context.Context, *action.Run) error {
		touched = true
		return nil
	}, map[string]string{
		"strategy": "blue\n::error::forged", "dry-run": "yes", "timeout": "5", "min-coverage": "80",
		"replicas": "-1", "env": "LEVEL", "github-token": "bad\x01token", "tests": "\x1b[31m./x",
	})
	if touched || got.Exit != 2 {
		t.Errorf("exit %d, touched %v", got.Exit, touched)
	}
	want := []string{
		`::error title=Wrong input%3A image::input "image" is not given: it is required; for example: ghcr.io/acme/orders`,
		"::error title=Wrong input%3A strategy::input \"strategy\" is \"blue\\n::error::forged\": expected one of `rolling`, `canary`; for example: rolling",
		`::error title=Wrong input%3A tests::input "tests" is "\x1b[31m./x": expected text without control characters; for example: ./...`,
		`::error title=Wrong input%3A dry-run::input "dry-run" is "yes": expected true or false; for example: true`,
		`::error title=Wrong input%3A timeout::input "timeout" is "5": expected a duration with its unit: s, m or h; for example: 90s`,
		`::error title=Wrong input%3A min-coverage::input "min-coverage" is "80": expected a percentage from 0%25 to 100%25, with its sign; for example: 80%25`,
		`::error title=Wrong input%3A replicas::input "replicas" is "-1": expected a whole number, zero or more; for example: 3`,
		`::error title=Wrong input%3A env::input "env" is "LEVEL": expected NAME=value; for example: LEVEL=debug`,
	}
	var errs []string
	for line := range strings.Lines(got.Log) {
		if strings.HasPrefix(line, "::error") {
			errs = append(errs, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, errs); diff != "" {
		t.Error(diff)
	}
}

func TestInputs_areWordedWherePartsMayBeSecret(t *testing.T) {
	s := action.New("sample", action.Deploy, "has an environment")
	action.ListAs(s, "env", "NAME=value", func(items []string) (int, error) {
		return 0, errors.New("expected one item")
	}, action.HeldAs(func(raw string) string { return strings.ReplaceAll(raw, "hunter2", "…") }), action.Example("A=1"))
	got := actiontest.Exec(t, s, nil, map[string]string{"env": "A=hunter2\n# no\nB=hunter2"})
	want := `::error title=Wrong input%3A env::input "env" is "A=…\n# no\nB=…": expected one item; for example: A=1` + "\n"
	if diff := cmp.Diff(want, got.Log); got.Exit != 2 || diff != "" {
		t.Errorf("exit %d\n%s", got.Exit, diff)
	}
}

func TestInputs_longValuesAreShortened(t *testing.T) {
	s := newSample()
	got := actiontest.Exec(t, s.Spec, nil, map[string]string{"image": "x", "replicas": strings.Repeat("é", 5000)})
	if got.Exit != 2 || len(got.Log) > 600 || !strings.Contains(got.Log, `é…"`) {
		t.Errorf("exit %d, log of %d bytes", got.Exit, len(got.Log))
	}
}

func TestInputs_unknownFlagsAndStrayArgumentsAreMistakes(t *testing.T) {
	s := newSample()
	var stdout, stderr strings.Builder
	exit := action.Exec(t.Context(), s.Spec, nil, nil,
		[]string{"--kubeconfg", "hunter2", "--nope=hunter2", "stray", "--image", "x", "--replicas", "many"}, &stdout, &stderr)
	want := "error: Wrong input: flag provided but not defined: -kubeconfg; --help lists every input\n" +
		"error: Wrong input: flag provided but not defined: -nope; --help lists every input\n" +
		"error: Wrong input: replicas: input \"replicas\" is \"many\": expected a whole number, zero or more; for example: 3\n"
	if diff := cmp.Diff(want, stderr.String()); exit != 2 || diff != "" {
		t.Errorf("exit %d\n%s", exit, diff)
	}
	stderr.Reset()
	if exit := action.Exec(t.Context(), s.Spec, nil, nil, []string{"stray", "--image", "x"}, &stdout, &stderr); exit != 2 || !strings.Contains(stderr.String(), `unexpected argument "stray"`) {
		t.Errorf("exit %d, %s", exit, stderr.String())
	}
}

func TestInputs_whatIsNoFlagEndsTheRunAndShowsNoValue(t *testing.T) {
	const secret = "hunter2secret"
	for _, args := range [][]string{
		{"---x"},
		{"--=x"},
		{"-=x"},
		{"---"},
		{"----"},
		{"-=", "-=", "--="},
		{"---kubeconfig=" + secret},
		{"---kubeconfig", secret},
		{"--=" + secret},
		{"-=" + secret},
		{"--", "--kubeconfig=" + secret},
		{"--", "-=" + secret},
		{"--nope", "---kubeconfig=" + secret},
		{"--image", "x", "---kubeconfig=" + secret, "--replicas", "1", "---kubeconfig=" + secret},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stdout, stderr strings.Builder
			exit := action.Exec(t.Context(), newSample().Spec, nil, nil, args, &stdout, &stderr)
			if log := stderr.String(); exit != 2 || !strings.Contains(log, "error: ") || strings.Contains(log, secret) {
				t.Errorf("exit %d\n%s", exit, log)
			}
			if n := strings.Count(stderr.String(), "---kubeconfig"); n != min(strings.Count(strings.Join(args, " "), "---kubeconfig"), 1) {
				t.Errorf("told %d times:\n%s", n, stderr.String())
			}
		})
	}
}

// Whatever the arguments are, reading them ends.
func FuzzInputs_anyArguments(f *testing.F) {
	for _, seed := range []string{"---x", "--=x", "-=x", "--\n---", "--image\n---x\n-=", "-\n--\n-", "--nope\n---x", "--dry-run=maybe\n--help=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		run := func(context.Context, *action.Run) error { return nil }
		var stdout, stderr strings.Builder
		exit := action.Exec(t.Context(), newSample().Spec, run, nil, strings.Split(text, "\n"), &stdout, &stderr)
		if exit != 0 && exit != 2 {
			t.Errorf("exit %d:\n%s", exit, stderr.String())
		}
	})
}

func TestInputs_mistakesThatOnlyTheRunFinds(t *testing.T) {
	s := newSample()
	got := actiontest.Exec(t, s.Spec, func(context.Context, *action.Run) error {
		return fmt.Errorf("plan: %w", errors.Join(
			action.WrongInput("image", errors.New("no such repository")),
			action.WrongInput("github-token", errors.New("it is expired")),
		))
	}, map[string]string{"image": "nowhere", "github-token": "hunter2secret"})
	want := "::add-mask::hunter2secret\n" +
		"::error title=Wrong input%3A image::input \"image\" is \"nowhere\": no such repository; for example: ghcr.io/acme/orders\n" +
		"::error title=Wrong input%3A github-token::input \"github-token\" (a secret, not shown): it is expired; for example: ${{ github.token }}\n"
	if diff := cmp.Diff(want, got.Log); got.Exit != 2 || diff != "" {
		t.Errorf("exit %d\n%s", got.Exit, diff)
	}
}

func TestSecret_isMaskedBeforeAnythingElse(t *testing.T) {
	s := newSample()
	got := actiontest.Exec(t, s.Spec, func(_ context.Context, r *action.Run) error {
		r.Linef("%v %s %q %#v", *s.token, *s.token, *s.token, *s.token)
		w := r.Foreign()
		_, _ = w.Write([]byte("curl -H hunter2"))
		_, _ = w.Write([]byte("secret\n"))
		r.Mask("another-one")
		return errors.New("server said: hunter2secret and another-one")
	}, map[string]string{"image": "x", "github-token": "hunter2secret"})
	if !strings.HasPrefix(got.Log, "::add-mask::hunter2secret\n*** *** \"***\" ***\n") {
		t.Errorf("log begins otherwise:\n%s", got.Log)
	}
	for i, line := range strings.Split(got.Log, "\n") {
		if strings.Contains(line, "hunter2secret") != (i == 0) {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if !strings.Contains(got.Log, "::error title=sample::server said: *** and ***%0ANext: ") {
		t.Errorf("log:\n%s", got.Log)
	}
}

func TestHelp_tellsEveryInput(t *testing.T) {
	golden(t, "testdata/help.golden", "--help")
	golden(t, "testdata/describe.golden", "--describe")
}

func golden(t *testing.T, path, flag string) {
	t.Helper()
	var stdout strings.Builder
	if exit := action.Exec(t.Context(), withOutputs(), nil, nil, []string{flag}, &stdout, os.Stderr); exit != 0 {
		t.Fatalf("%s: exit %d", flag, exit)
	}
	if *update {
		if err := os.WriteFile(path, []byte(stdout.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), stdout.String()); diff != "" {
		t.Errorf("%s differs; go test ./internal/action -run TestHelp -update writes it\n%s", path, diff)
	}
}

func withOutputs() *action.Spec {
	s := newSample()
	s.Output("release", "this release's number")
	return s.Spec
}

func FuzzInputs(f *testing.F) {
	f.Add("x", "canary", "5m", "1", "25%", "true", "a,b\n#c", "LEVEL=1")
	f.Fuzz(func(t *testing.T, image, strategy, timeout, replicas, coverage, dryRun, steps, env string) {
		s := newSample()
		got := actiontest.Exec(t, s.Spec, func(context.Context, *action.Run) error { return nil }, map[string]string{
			"image": image, "strategy": strategy, "timeout": timeout, "replicas": replicas, "min-coverage": coverage, "dry-run": dryRun, "steps": steps, "env": env,
		})
		if got.Exit != 0 && got.Exit != 2 {
			t.Errorf("exit %d:\n%s", got.Exit, got.Log)
		}
		if got.Exit == 2 && !strings.Contains(got.Log, "::error") {
			t.Errorf("exit 2 without a reason:\n%s", got.Log)
		}
		if *s.timeout < 0 || *s.replicas < 0 || *s.coverage < 0 || *s.coverage > 1 {
			t.Errorf("held %v", s.held())
		}
	})
}

func TestInputs_furtherMistakesAreToldWithThoseThatCannotBeRead(t *testing.T) {
	s := newSample()
	s.Output("status", "how it ended")
	s.Check = func(_ context.Context, r *action.Run, wrong error) error {
		r.Set("status", "refused: "+wrong.Error())
		return fmt.Errorf("read: %w", errors.Join(
			action.WrongInput("image", errors.New("there is no such repository")),
			action.WrongInput("replicas", errors.New("follows from its being wrong")),
			errors.New("no mistake of an input"),
		))
	}
	got := actiontest.Exec(t, s.Spec, nil, map[string]string{"image": "nowhere", "replicas": "many"})
	want := "::error title=Wrong input%3A replicas::input \"replicas\" is \"many\": expected a whole number, zero or more; for example: 3\n" +
		"::error title=Wrong input%3A image::input \"image\" is \"nowhere\": there is no such repository; for example: ghcr.io/acme/orders\n"
	if diff := cmp.Diff(want, got.Log); got.Exit != 2 || diff != "" {
		t.Errorf("exit %d\n%s", got.Exit, diff)
	}
	if status := got.Outputs["status"]; !strings.HasPrefix(status, "refused: input \"replicas\": expected") || *s.replicas != 2 {
		t.Errorf("status %q, held %v", status, s.held())
	}
}

func TestInputs_eachMistakeIsAnAnnotation(t *testing.T) {
	s := action.New("sample", action.Deploy, "has many inputs")
	wrong := map[string]string{}
	for i := range 15 {
		name := fmt.Sprintf("number-%d", i)
		s.Number(name, "a number")
		wrong[name] = "many"
	}
	got := actiontest.Exec(t, s, nil, wrong)
	if n := strings.Count(got.Log, "::error title=Wrong input"); got.Exit != 2 || n != 15 {
		t.Errorf("exit %d, %d annotations:\n%s", got.Exit, n, got.Log)
	}
}

func TestInputs_aListOfCommentsIsNotGiven(t *testing.T) {
	s := newSample()
	got := actiontest.Exec(t, s.Spec, func(context.Context, *action.Run) error { return nil },
		map[string]string{"image": "x", "tests": "# all of them\n\n  # really", "steps": "#", "env": "# none"})
	if got.Exit != 0 || !slices.Equal(*s.tests, []string{"./..."}) || !slices.Equal(*s.steps, []string{"10%", "50%"}) || *s.flags != nil {
		t.Errorf("exit %d, held %v", got.Exit, s.held())
	}
}
