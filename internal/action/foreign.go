package action

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Foreign takes the output of a program, a pod or a server as it comes.
func (c *console) Foreign() io.Writer {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &foreign{console: c}
	c.foreign = append(c.foreign, f)
	return f
}

// foreign buffers one stream, so that lines stay whole: a command or a secret
// could else be put together from two writes.
type foreign struct {
	console *console
	partial []byte
}

const maxLine = 64 << 10 // bytes that are held back in the hope of a line's end

func (f *foreign) Write(p []byte) (int, error) {
	f.console.mu.Lock()
	defer f.console.mu.Unlock()
	f.partial = append(f.partial, p...)
	for {
		end := bytes.IndexAny(f.partial, "\r\n")
		if end < 0 {
			break
		}
		f.console.line(string(f.partial[:end]))
		next := end + 1
		if f.partial[end] == '\r' {
			if next == len(f.partial) {
				f.partial = append(f.partial[:0], '\r') // its \n may be on the way
				break
			}
			if f.partial[next] == '\n' {
				next++
			}
		}
		f.partial = f.partial[next:]
	}
	if len(f.partial) > maxLine+f.console.masks.longest {
		f.cut()
	}
	return len(p), nil
}

// cut writes what there is of an endless line, but for an end that may be the
// beginning of a secret.
func (f *foreign) cut() {
	text := f.console.masks.redact(string(f.partial))
	keep := max(len(text)-f.console.masks.longest, 0)
	for keep > 0 && !utf8.RuneStart(text[keep-1]) {
		keep--
	}
	f.console.line(text[:keep])
	f.partial = append(f.partial[:0], text[keep:]...)
}

func (f *foreign) flush() {
	if len(f.partial) > 0 {
		f.console.line(strings.TrimSuffix(string(f.partial), "\r"))
		f.partial = nil
	}
}
