package action_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/action/actiontest"
)

func FuzzOutputs(f *testing.F) {
	f.Add("plain", "second")
	f.Add("two\nlines", "")
	f.Add("a\nfibership_X\nforged=1\n", "x<<y\nz\ny")
	f.Add("_GitHubActionsFileCommandDelimeter_\nforged<<E\n1\nE", "=")
	f.Fuzz(func(t *testing.T, first, second string) {
		s := action.New("sample", action.Deploy, "does something")
		s.Output("one", "the first")
		s.Output("two", "the second")
		got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
			r.Set("one", first)
			r.Set("two", second)
			return nil
		}, nil)
		if want := map[string]string{"one": first, "two": second}; !maps.Equal(got.Outputs, want) {
			t.Errorf("outputs %q, want %q", got.Outputs, want)
		}
	})
}

func TestOutputs_areWrittenAlsoWhenTheWorkFails(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Output("status", "how it ended")
	got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		r.Set("status", "failed")
		return errors.New("no luck")
	}, nil)
	if got.Exit != 1 || got.Outputs["status"] != "failed" {
		t.Errorf("exit %d, outputs %q", got.Exit, got.Outputs)
	}
}

func TestOutputs_areFreshlyDelimitedEach(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Output("a", "one")
	path := filepath.Join(t.TempDir(), "output")
	run := func(_ context.Context, r *action.Run) error {
		r.Set("a", "1")
		r.Set("a", "2")
		return nil
	}
	if exit := action.Exec(t.Context(), s, run, []string{"GITHUB_OUTPUT=" + path}, nil, &strings.Builder{}, &strings.Builder{}); exit != 0 {
		t.Fatalf("exit %d", exit)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if _, delimiter, ok := strings.Cut(strings.TrimSpace(line), "<<"); ok {
			seen[delimiter] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("delimiters %v, want two different ones", seen)
	}
}

func TestOutputs_goToStandardOutputAtATerminal(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Output("tags", "one a line")
	var stdout, stderr strings.Builder
	exit := action.Exec(t.Context(), s, func(_ context.Context, r *action.Run) error {
		r.Linef("working")
		r.Set("tags", "v1\nforged=1")
		return nil
	}, nil, nil, &stdout, &stderr)
	if exit != 0 || stdout.String() != `tags=v1\nforged=1`+"\n" || stderr.String() != "working\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout.String(), stderr.String())
	}
}

func TestOutputs_neverHoldASecret(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Secret("token", "a token")
	s.Output("url", "where it is")
	got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		r.Set("url", "https://x/?t=hunter2secret")
		return nil
	}, map[string]string{"token": "hunter2secret"})
	if _, set := got.Outputs["url"]; set || !strings.Contains(got.Log, "::warning") {
		t.Errorf("outputs %q, log:\n%s", got.Outputs, got.Log)
	}
}

func TestOutputs_failTheRunWhereTheyCannotBeWritten(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Output("a", "one")
	got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		r.Set("a", "1")
		return nil
	}, nil, "GITHUB_OUTPUT="+filepath.Join(t.TempDir(), "no", "such", "folder"))
	if got.Exit != 1 || !strings.Contains(got.Log, `write output "a"`) {
		t.Errorf("exit %d, log:\n%s", got.Exit, got.Log)
	}
}

func TestOutputs_undeclaredIsAProgrammingError(t *testing.T) {
	got := actiontest.Exec(t, action.New("sample", action.Deploy, "does something"), func(_ context.Context, r *action.Run) error {
		r.Set("nope", "1")
		return nil
	}, nil)
	if got.Exit != 1 || !strings.Contains(got.Log, `output "nope" of sample is not declared`) {
		t.Errorf("exit %d, log:\n%s", got.Exit, got.Log)
	}
}

func TestSummary_isShortenedVisibly(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		r.Summary("# Head\n")
		r.Summary(action.Details("Much", action.Fence("", strings.Repeat("äöü東京\n", 120_000))))
		r.Summary("never seen")
		return nil
	}, nil)
	switch {
	case len(got.Summary) >= 1<<20 || len(got.Summary) < 1<<20-1024:
		t.Errorf("%d bytes", len(got.Summary))
	case !utf8.ValidString(got.Summary):
		t.Error("cut within a rune")
	case !strings.HasSuffix(got.Summary, "\n```\n\n</details>\n\n*This summary was too long and is shortened; the log has everything.*\n"):
		t.Errorf("ends with %q", got.Summary[len(got.Summary)-200:])
	}
}

func TestSummary_hidesSecrets(t *testing.T) {
	s := action.New("sample", action.Deploy, "does something")
	s.Secret("token", "a token")
	got := actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		r.Summary("it is " + action.Escape("hunter2_[secret]") + " and " + action.Code("hunter2_[secret]"))
		return nil
	}, map[string]string{"token": "hunter2_[secret]"})
	if got.Summary != "it is *** and `***`\n" {
		t.Errorf("summary %q", got.Summary)
	}
}
