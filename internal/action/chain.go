package action

import (
	"strings"

	"github.com/fibership/fibership/internal/progress"
)

// walk visits an error and everything it wraps, in order; visit returns false
// to leave out what the error wraps.
func walk(err error, visit func(error) bool) {
	if err == nil || !visit(err) {
		return
	}
	switch e := err.(type) { //nolint:errorlint // this is what unwraps
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}

// nextStep joins the next steps that the errors name, each once.
func nextStep(err error) string {
	var steps []string
	seen := map[string]bool{}
	walk(err, func(e error) bool {
		if n, ok := e.(interface{ Next() string }); ok {
			if step := strings.TrimSpace(n.Next()); step != "" && !seen[step] {
				seen[step] = true
				steps = append(steps, step)
			}
		}
		return true
	})
	return strings.Join(steps, "\n")
}

// annotations gathers the notes that the errors carry.
func annotations(err error) []progress.Annotation {
	var notes []progress.Annotation
	walk(err, func(e error) bool {
		if n, ok := e.(interface{ Annotations() []progress.Annotation }); ok {
			notes = append(notes, n.Annotations()...)
		}
		return true
	})
	return notes
}
