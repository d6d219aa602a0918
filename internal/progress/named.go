package progress

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// Named is log with a name before every line: for works that go on side by
// side. Their phases would interleave, so a group is a line like any other.
func Named(log Log, name string) Log { return &named{log: log, name: name} }

type named struct {
	log  Log
	name string
}

func (n *named) Group(title string) func() {
	n.Linef("%s", title)
	return func() {}
}

func (n *named) Linef(format string, args ...any) {
	n.log.Linef("%s: %s", n.name, fmt.Sprintf(format, args...))
}

func (n *named) Annotate(note Annotation) {
	note.Message = n.name + ": " + note.Message
	n.log.Annotate(note)
}

func (n *named) Foreign() io.Writer {
	return &wholeLines{pass: func(line string) error {
		_, err := fmt.Fprintf(n.log.Foreign(), "%s: %s\n", n.name, line)
		return err
	}}
}

// wholeLines passes whole lines on, without their end. What has no end is
// passed on as it is once it is long.
type wholeLines struct {
	pass func(line string) error

	mu   sync.Mutex
	rest []byte
}

// longest is what a line may have before it is passed on in parts.
const longest = 16 << 10

func (l *wholeLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, after, found := bytes.Cut(l.rest, []byte("\n"))
		if !found && len(l.rest) < longest {
			return len(b), nil
		}
		if !found {
			line, after = l.rest, nil
		}
		if err := l.pass(string(line)); err != nil {
			return 0, err
		}
		l.rest = append([]byte(nil), after...)
	}
}
