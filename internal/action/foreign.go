package action

import (
	"bytes"
	"io"
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
	console  *console
	partial  []byte
	returned bool // the last line ended in \r: a \n that follows belongs to it
}

const maxLine = 64 << 10 // bytes that are held back in the hope of a line's end

func (f *foreign) Write(p []byte) (int, error) {
	f.console.mu.Lock()
	defer f.console.mu.Unlock()
	for rest := p; len(rest) > 0; {
		if f.returned {
			f.returned = false
			if rest[0] == '\n' {
				rest = rest[1:]
				continue
			}
		}
		end := bytes.IndexAny(rest, "\r\n")
		if end < 0 {
			f.partial = append(f.partial, rest...)
			break
		}
		f.console.line(string(append(f.partial, rest[:end]...)))
		f.partial = f.partial[:0]
		f.returned = rest[end] == '\r'
		rest = rest[end+1:]
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
		f.console.line(string(f.partial))
		f.partial = nil
	}
}
