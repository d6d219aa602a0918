package progress

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

type paper struct{ bytes.Buffer }

func (p *paper) Group(title string) func() {
	fmt.Fprintf(p, "group %s\n", title)
	return func() { fmt.Fprintln(p, "end") }
}
func (p *paper) Linef(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }
func (p *paper) Annotate(note Annotation)         { fmt.Fprintf(p, "note %s\n", note.Message) }
func (p *paper) Foreign() io.Writer               { return p }

func TestNamed_putsTheNameBeforeEveryLine(t *testing.T) {
	t.Parallel()
	var p paper
	log := Named(&p, "orders")
	log.Group("Smoke tests")()
	log.Linef("%d of %d", 1, 2)
	log.Annotate(Annotation{Message: "look here"})
	out := log.Foreign()
	for _, part := range []string{"one\ntw", "o\nthr", "ee\n"} {
		if _, err := io.WriteString(out, part); err != nil {
			t.Fatal(err)
		}
	}
	const want = "orders: Smoke tests\norders: 1 of 2\nnote orders: look here\norders: one\norders: two\norders: three\n"
	if p.String() != want {
		t.Errorf("got\n%s\nwant\n%s", p.String(), want)
	}
}
