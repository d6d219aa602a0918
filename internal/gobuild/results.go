package gobuild

import (
	"cmp"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/progress"
)

// results gathers a suite's events into Tests. What failed is shown as soon as
// it has; what passed is shown as a line for each package.
type results struct {
	log     progress.Log
	started time.Time
	output  map[key]*strings.Builder // of what has not ended yet
	builds  map[string]*strings.Builder
	parents map[key]bool // tests of which a subtest failed
	done    Tests
}

type key struct{ pkg, test string }

// maxOutput is what is kept of one test's output.
const maxOutput = 64 << 10

func newResults(log progress.Log) *results {
	return &results{
		log: log, started: time.Now(),
		output: map[key]*strings.Builder{}, builds: map[string]*strings.Builder{}, parents: map[key]bool{},
	}
}

func (r *results) read(events io.Reader) error {
	return decode(events, r.add, func(line []byte) { _, _ = r.log.Foreign().Write(line) })
}

func (r *results) add(e event) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		grow(r.builds, e.ImportPath, e.Output)
	case "output":
		grow(r.output, k, e.Output)
	case "pass", "skip", "fail":
		output := ""
		if b := r.output[k]; b != nil {
			output = b.String()
			delete(r.output, k)
		}
		c := Case{Package: e.Package, Name: e.Test, Seconds: e.Elapsed}
		if e.Test == "" {
			r.endPackage(e, c, output)
		} else {
			r.endTest(e, c, output)
		}
	}
}

func (r *results) endTest(e event, c Case, output string) {
	switch e.Action {
	case "pass":
		r.done.Passed++
		c.Outcome = Passed
	case "skip":
		r.done.Skipped++
		c.Outcome = Skipped
	case "fail":
		r.done.Failed++
		for i := range len(e.Test) {
			if e.Test[i] == '/' {
				r.parents[key{e.Package, e.Test[:i]}] = true
			}
		}
		_, _ = io.WriteString(r.log.Foreign(), output)
		// A parent fails because its part did: only the part has something to say.
		if r.parents[key{e.Package, e.Test}] && firstComplaint(output) == "" && !panicked(output) {
			r.done.Cases = append(r.done.Cases, c)
			return
		}
		c.Output = clip(output, maxOutput)
		r.done.Failures = append(r.done.Failures, c)
	}
	r.done.Cases = append(r.done.Cases, c)
	r.done.Slowest = append(r.done.Slowest, c)
	if len(r.done.Slowest) > 256 {
		r.done.Slowest = slowest(r.done.Slowest)
	}
}

func (r *results) endPackage(e event, c Case, output string) {
	switch {
	case e.Action != "fail":
		if line := lastLine(output); line != "" {
			_, _ = io.WriteString(r.log.Foreign(), line+"\n")
		}
		return
	case e.FailedBuild != "":
		c.build = true
		if b := r.builds[e.FailedBuild]; b != nil {
			output = b.String()
		}
	case slices.ContainsFunc(r.done.Failures, func(f Case) bool { return f.Package == e.Package }):
		_, _ = io.WriteString(r.log.Foreign(), lastLine(output)+"\n")
		return
	default:
		// A test binary that died takes the output of the test it was in along.
		for k, b := range r.output {
			if k.pkg == e.Package {
				output, c.Name = b.String()+output, k.test
				delete(r.output, k)
			}
		}
	}
	_, _ = io.WriteString(r.log.Foreign(), output)
	c.Output = clip(output, maxOutput)
	r.done.Failed++
	r.done.Failures = append(r.done.Failures, c)
	r.done.Cases = append(r.done.Cases, c)
}

func (r *results) tests() Tests {
	t := r.done
	t.Seconds = time.Since(r.started).Round(time.Millisecond).Seconds()
	t.Slowest = slowest(t.Slowest)
	return t
}

func slowest(cases []Case) []Case {
	slices.SortStableFunc(cases, func(a, b Case) int { return cmp.Compare(b.Seconds, a.Seconds) })
	return cases[:min(5, len(cases))]
}

// grow adds to the output kept under k, and forgets the older half of what
// became too much.
func grow[K comparable](m map[K]*strings.Builder, k K, text string) {
	b := m[k]
	if b == nil {
		b = new(strings.Builder)
		m[k] = b
	}
	if b.Len()+len(text) > 2*maxOutput {
		tail := clip(b.String(), maxOutput)
		b.Reset()
		b.WriteString(tail)
	}
	b.WriteString(text)
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// panicked says whether a panic ends the output. Its trace is told by the
// outermost test, whichever part of it panicked.
func panicked(output string) bool {
	return strings.HasPrefix(output, "panic: ") || strings.Contains(output, "\npanic: ")
}

// firstComplaint is the first line in which a test says why it fails.
func firstComplaint(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if testLine.MatchString(line) {
			return line
		}
	}
	return ""
}
