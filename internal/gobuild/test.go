package gobuild

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/fibership/fibership/internal/progress"
)

// Suite says which tests are run, and how.
type Suite struct {
	Packages    []string // patterns
	Flags       []string // further flags of go test
	Environ     []string // NAME=value, beside what Environ lets pass
	Outside     bool     // depends on more than the repository: its passes are not remembered
	MinCoverage float64  // share of statements, 0 to 1; 0 asks for nothing
}

// Tests tells how a suite went.
type Tests struct {
	Passed   int     `json:"passed"`
	Failed   int     `json:"failed"`
	Skipped  int     `json:"skipped"`
	Seconds  float64 `json:"seconds"` // wall clock, compiling included
	Coverage float64 `json:"-"`       // share of statements, 0 to 1; -1 where there are none
	Slowest  []Case  `json:"-"`       // at most five, the slowest first
	Failures []Case  `json:"-"`
	Cases    []Case  `json:"-"` // every test, in the order in which they ended
}

// Case is one test.
type Case struct {
	Package string
	Name    string // empty for what concerns the package as a whole
	Seconds float64
	Outcome Outcome
	Output  string // of a failed one, its last 64 KiB at most

	build bool // Output is the compiler's
}

// Outcome is how a test ended.
type Outcome int

// The zero outcome is the bad one, so that what was forgotten never passes.
const (
	Failed Outcome = iota
	Passed
	Skipped
)

func (c Case) String() string {
	if c.Name == "" {
		return c.Package
	}
	return c.Package + "." + c.Name
}

// TestError is a suite that failed.
type TestError struct {
	Tests Tests
	notes []progress.Annotation
}

func (e *TestError) Error() string {
	names := make([]string, 0, 3)
	for _, c := range e.Tests.Failures[:min(3, len(e.Tests.Failures))] {
		names = append(names, c.String())
	}
	more := ""
	if n := len(e.Tests.Failures) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return "tests failed: " + strings.Join(names, ", ") + more
}

// Annotations puts the failures at their lines.
func (e *TestError) Annotations() []progress.Annotation { return e.notes }

// Next tells what is true now and where to look.
func (e *TestError) Next() string {
	return "nothing was pushed; see the marked lines and the tests' own output in the log"
}

// CoverageError is a suite that passed and covers too little.
type CoverageError struct{ Got, Want float64 }

func (e *CoverageError) Error() string {
	return fmt.Sprintf("coverage is %.1f%%, below min-coverage %.1f%%", 100*e.Got, 100*e.Want)
}

// Next tells the choice.
func (e *CoverageError) Next() string { return "test more, or lower the input min-coverage" }

// Test runs the suite, as the user and in the copy of the checkout that are the
// tests' own where Unprivileged has arranged that. Tests holds what was seen
// also where it fails; the error is a *TestError where code is to blame.
func (t *Toolchain) Test(ctx context.Context, suite Suite) (Tests, error) {
	if err := t.ready(ctx); err != nil {
		return Tests{}, err
	}
	alone, release, err := t.apart(ctx)
	if err != nil {
		return Tests{}, err
	}
	defer release()
	var fetched error
	if alone != t {
		fetched = t.fetch(ctx, suite)
	}
	var toolchain *ToolchainError
	if errors.As(fetched, &toolchain) && private(toolchain.Text) {
		return Tests{}, fetched
	}
	tests, err := alone.test(ctx, suite)
	if fetched != nil && errors.As(err, &toolchain) {
		return tests, fetched // the reason, where the other is what came of it
	}
	return tests, err
}

func (t *Toolchain) test(ctx context.Context, suite Suite) (Tests, error) {
	profile, err := os.CreateTemp(lookup(t.environ, "TMPDIR"), "fibership-cover-")
	if err != nil {
		return Tests{}, err
	}
	_ = profile.Close()
	defer os.Remove(profile.Name())
	if err := t.own(profile.Name()); err != nil {
		return Tests{}, err
	}

	args := append([]string{"test", "-json"}, t.tagFlags()...)
	args = append(args, suite.Flags...)
	args = append(args, "-coverprofile="+profile.Name())
	args = append(args, suite.Packages...)
	env := slices.Clone(suite.Environ)
	if slices.ContainsFunc(suite.Flags, race) { // the race detector is written in C
		env = append(env, "CGO_ENABLED=1")
	}

	var stderr bytes.Buffer
	cmd := t.command(ctx, env, args...)
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Tests{}, err
	}
	results := newResults(t.log)
	if err := cmd.Start(); err != nil {
		return Tests{}, t.failure(ctx, "test", "", err)
	}
	readErr := results.read(stdout)
	runErr := cmd.Wait()

	tests := results.tests()
	tests.Coverage = t.coverage(profile.Name())
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return tests, t.failure(ctx, "test", "", ctx.Err())
	case runErr != nil && errors.As(runErr, &exit) && len(tests.Failures) > 0:
		return tests, &TestError{Tests: tests, notes: t.notes(ctx, tests.Failures)}
	case runErr != nil:
		return tests, t.failure(ctx, "test", stderr.String(), runErr)
	case readErr != nil:
		return tests, fmt.Errorf("read test results: %w", readErr)
	case suite.MinCoverage > 0 && max(tests.Coverage, 0) < suite.MinCoverage:
		return tests, &CoverageError{Got: max(tests.Coverage, 0), Want: suite.MinCoverage}
	}
	return tests, nil
}

// race says whether a flag asks for the race detector, in whatever spelling.
func race(flag string) bool {
	name, value, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
	on, err := strconv.ParseBool(cmp.Or(value, "true"))
	return name == "race" && on && err == nil
}

// notes marks what failed. Packages' folders are asked for only now, since
// tests that pass need none.
func (t *Toolchain) notes(ctx context.Context, failures []Case) []progress.Annotation {
	dirs := map[string]string{}
	for _, c := range failures {
		dirs[c.Package] = ""
	}
	paths := []string{"-e", "-find"}
	for importPath := range dirs {
		paths = append(paths, importPath)
	}
	if packages, err := t.list(ctx, offline, paths...); err == nil {
		for _, p := range packages {
			dirs[p.ImportPath] = p.Dir
		}
	}
	var notes []progress.Annotation
	for _, c := range failures {
		var found []progress.Annotation
		if c.build {
			found = t.compilerNotes(c.Output)
		} else {
			found = t.testNotes(c.Name, dirs[c.Package], c.Output)
		}
		if len(found) == 0 && !c.told(failures) {
			found = []progress.Annotation{{Level: progress.Error, Title: "test failed", Message: c.String() + "\n" + clip(c.Output, 1024)}}
		}
		notes = append(notes, found...)
		if len(notes) >= maxNotes {
			break
		}
	}
	return notes
}

// told says whether c ended in a panic that the test around it tells of.
func (c Case) told(failures []Case) bool {
	return slices.ContainsFunc(failures, func(f Case) bool {
		return f.Package == c.Package && f.Name != c.Name && strings.HasPrefix(c.Name, f.Name+"/") && panicked(f.Output)
	})
}

// coverage reads the share of covered statements from a profile; -1 where it
// counts none. A block may be listed by several test binaries: it is covered
// when one of them reached it.
func (t *Toolchain) coverage(profile string) float64 {
	file, err := t.regular(profile)
	if err != nil {
		return -1
	}
	defer file.Close()
	type block struct {
		statements int
		covered    bool
	}
	blocks := map[string]block{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text()) // file.go:3.1,5.2 statements count
		if len(fields) != 3 {
			continue
		}
		b := blocks[fields[0]]
		blocks[fields[0]] = block{number(fields[1]), b.covered || fields[2] != "0"}
	}
	var all, covered int
	for _, b := range blocks {
		all += b.statements
		if b.covered {
			covered += b.statements
		}
	}
	if all == 0 {
		return -1
	}
	return float64(covered) / float64(all)
}

// event is one line of go test -json. Source: go doc test2json.
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

// decode reads the events of go test -json; a line that is none, such as what
// a test printed past the end of its own, is foreign text.
func decode(r io.Reader, each func(event), foreign func([]byte)) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				each(e)
			} else {
				foreign(line)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
