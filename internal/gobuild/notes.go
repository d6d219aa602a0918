package gobuild

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/fibership/fibership/internal/progress"
)

// maxNotes bounds what one failure marks; a runner shows ten of a kind.
const maxNotes = 50

// compilerLine is a message of compiler, vet or linker: file:line:column: text.
var compilerLine = regexp.MustCompile(`^(?:vet: )?([^\s:][^:]*\.(?:go|c|h|s|cc|cpp|S|mod|work)):(\d+)(?::(\d+))?: (.+)$`)

// compilerNotes finds the messages in the output of go build or go vet, whose
// files are relative to the source's folder. Lines that are indented belong to
// the message before.
func (t *Toolchain) compilerNotes(output string) []progress.Annotation {
	var notes []progress.Annotation
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if m := compilerLine.FindStringSubmatch(line); m != nil {
			if file, ok := t.inWorkspace(t.source.Dir, m[1]); ok && len(notes) < maxNotes {
				notes = append(notes, progress.Annotation{
					Level: progress.Error, File: file, Line: number(m[2]), Column: number(m[3]),
					Title: "does not compile", Message: m[4],
				})
			}
			continue
		}
		if n := len(notes); n > 0 && strings.HasPrefix(line, "\t") && len(notes[n-1].Message) < 2048 {
			notes[n-1].Message += "\n" + strings.TrimSpace(line)
		}
	}
	return notes
}

// testLine is what t.Error and its like print: indented, the file's base name.
var testLine = regexp.MustCompile(`^\s+([^\s:/]+\.go):(\d+): (.*)$`)

// frameLine is a line of a stack trace that names a file.
var frameLine = regexp.MustCompile(`^\t(/[^:]+\.go):(\d+)(?: \+0x[0-9a-f]+)?$`)

// testNotes finds in a failed test's output the lines that it complains
// about. dir is the package's folder.
func (t *Toolchain) testNotes(test, dir, output string) []progress.Annotation {
	var notes []progress.Annotation
	cause := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if m := testLine.FindStringSubmatch(line); m != nil {
			if file, ok := t.inWorkspace(dir, m[1]); ok && len(notes) < maxNotes {
				notes = append(notes, progress.Annotation{
					Level: progress.Error, File: file, Line: number(m[2]), Title: test + " failed", Message: m[3],
				})
				continue
			}
		}
		if rest, ok := strings.CutPrefix(line, "panic: "); ok && cause == "" {
			cause = rest
			continue
		}
		if m := frameLine.FindStringSubmatch(line); m != nil && cause != "" {
			if file, ok := t.inWorkspace(dir, m[1]); ok {
				notes = append(notes, progress.Annotation{
					Level: progress.Error, File: file, Line: number(m[2]), Title: test + " panicked", Message: cause,
				})
				cause = "" // the innermost frame of ours is the place
			}
		}
		// What is printed over several lines is indented further than its first.
		if n := len(notes); n > 0 && strings.HasPrefix(line, "        ") && len(notes[n-1].Message) < 2048 {
			notes[n-1].Message += "\n" + strings.TrimSpace(line)
		}
	}
	return notes
}

// inWorkspace gives file, as seen from dir, relative to the workspace; false
// where it lies outside.
func (t *Toolchain) inWorkspace(dir, file string) (string, bool) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	rel, err := filepath.Rel(t.source.Workspace, file)
	if err != nil || !filepath.IsLocal(rel) || cached(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// number reads digits that an expression has matched; absurd ones are 0.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
