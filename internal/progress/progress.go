// Package progress is the one way in which Fibership's packages say how far
// they have come. It knows words only: where the lines go, and what a runner
// makes of them, is the edge's business (package action).
package progress

import (
	"context"
	"io"
	"time"
)

// Log takes lines for people. Implementations are safe for concurrent use and
// keep foreign text from being read as a command of the runner.
type Log interface {
	// Group opens a titled phase; the returned function closes it. Phases do
	// not nest: opening one closes the one before.
	Group(title string) (end func())
	// Linef writes one line.
	Linef(format string, args ...any)
	// Annotate writes a note that is shown beside the file and line it names.
	Annotate(note Annotation)
	// Foreign takes the output of a program, a pod or a server as it comes.
	Foreign() io.Writer
}

// Level says how loud an annotation is.
type Level int

// The runner's levels, from quiet to loud.
const (
	Notice Level = iota
	Warning
	Error
)

// An Annotation is a note to a person. File is relative to the repository's
// root; empty where the note belongs to no file. Line and Column count from 1,
// 0 where unknown.
type Annotation struct {
	Level   Level
	File    string
	Line    int
	Column  int
	Title   string
	Message string
}

// Warn annotates a warning that belongs to no file.
func Warn(log Log, title, message string) {
	log.Annotate(Annotation{Level: Warning, Title: title, Message: message})
}

// Beat writes status() to log once in every interval until the returned
// function is called. It is for waits whose end
// nobody knows: a reader must never wonder whether the program still lives.
func Beat(ctx context.Context, log Log, every time.Duration, status func() string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				log.Linef("%s", status())
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// Discard is a Log that says nothing.
var Discard Log = discard{}

type discard struct{}

func (discard) Group(string) func()  { return func() {} }
func (discard) Linef(string, ...any) {}
func (discard) Annotate(Annotation)  {}
func (discard) Foreign() io.Writer   { return io.Discard }
