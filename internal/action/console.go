package action

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/fibership/fibership/internal/progress"
)

// console is the log of a run. Every line passes through it: it hides secrets
// and breaks what the runner would take for a command.
type console struct {
	mu        sync.Mutex
	out       io.Writer
	inActions bool
	masks     masks
	group     int  // counts the groups that were opened
	open      bool // the last of them is
	closing   bool // the last words are being said
	annotated [3]int
	foreign   []*foreign
}

var _ progress.Log = (*console)(nil)

const (
	maxAnnotations = 10   // of a level that GitHub shows for a step
	maxNote        = 4096 // characters that it shows of one
)

func (c *console) mask(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range c.masks.add(value) {
		if c.inActions {
			c.command("add-mask", secret, nil)
		}
	}
}

func (c *console) redact(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.masks.redact(text)
}

func (c *console) holdsSecret(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.masks.holds(text)
}

// Group opens a titled phase.
func (c *console) Group(title string) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endGroup()
	c.group++
	c.open = true
	mine := c.group
	title = strings.Join(lines(title), " ")
	if c.inActions {
		c.command("group", c.clean(title), nil)
	} else {
		c.line("== " + title)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.group == mine {
			c.endGroup()
		}
	}
}

func (c *console) endGroup() {
	if c.open && c.inActions {
		c.command("endgroup", "", nil)
	}
	c.open = false
}

// Linef writes a line; a text of several lines becomes several.
func (c *console) Linef(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range lines(fmt.Sprintf(format, args...)) {
		c.line(line)
	}
}

// Annotate writes a note; beyond what GitHub shows it becomes a plain line.
func (c *console) Annotate(note progress.Annotation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	level := min(max(note.Level, progress.Notice), progress.Error)
	most := maxAnnotations
	if level == progress.Error && !c.closing {
		most-- // the last is for the cause of failure
	}
	c.annotated[level]++
	if !c.inActions || c.annotated[level] > most {
		for i, line := range lines(plainNote(level, note)) {
			if i > 0 {
				line = "  " + line
			}
			c.line(line)
		}
		return
	}
	properties := githubactions.CommandProperties{}
	for name, value := range map[string]string{
		"file": note.File, "line": number(note.Line), "col": number(note.Column), "title": note.Title,
	} {
		if value = c.clean(strings.Join(lines(value), " ")); value != "" {
			properties[name] = value
		}
	}
	clean := lines(note.Message)
	for i, line := range clean {
		clean[i] = c.clean(line)
	}
	c.command(levelName(level), shorten(strings.Join(clean, "\n"), maxNote), properties)
}

func levelName(level progress.Level) string {
	switch level {
	case progress.Error:
		return "error"
	case progress.Warning:
		return "warning"
	case progress.Notice:
	}
	return "notice"
}

func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// plainNote is an annotation as compilers write it: error: file:line:col: text.
func plainNote(level progress.Level, note progress.Annotation) string {
	var b strings.Builder
	b.WriteString(levelName(level) + ": ")
	if note.File != "" {
		b.WriteString(note.File)
		for _, n := range []int{note.Line, note.Column} {
			if n > 0 {
				b.WriteString(":" + strconv.Itoa(n))
			}
		}
		b.WriteString(": ")
	}
	if note.Title != "" {
		b.WriteString(note.Title + ": ")
	}
	b.WriteString(note.Message)
	return b.String()
}

// shorten cuts a text to so many characters, visibly.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	const mark = "… (shortened)"
	return string([]rune(text)[:most-utf8.RuneCountInString(mark)]) + mark
}

// command issues a command of our own; its text is clean or meant to be told.
func (c *console) command(name, message string, properties githubactions.CommandProperties) {
	command := githubactions.Command{Name: name, Message: message, Properties: properties}
	_, _ = io.WriteString(c.out, command.String()+"\n") // nobody to tell
}

// line writes one line of anybody's.
func (c *console) line(text string) {
	text = visible(text)
	if plain := colors.ReplaceAllString(text, ""); c.masks.holds(plain) {
		text = c.masks.redact(plain)
	}
	_, _ = io.WriteString(c.out, neutral(text)+"\n")
}

// clean is a line's text for a command: without colours too.
func (c *console) clean(text string) string {
	return neutral(c.masks.redact(colors.ReplaceAllString(visible(text), "")))
}

// close says what was left out and ends what is open.
func (c *console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.foreign {
		f.flush()
	}
	c.endGroup()
}

// lastWords lets go of what is buffered and the group, so that what ended the
// run is seen without unfolding anything.
func (c *console) lastWords() {
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
}

// unshown tells how many notes are lines of the log only.
func (c *console) unshown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.inActions {
		return
	}
	for level, n := range c.annotated {
		if most := maxAnnotations; n > most {
			c.line(fmt.Sprintf("%d more of level %s are in the log only: GitHub shows %d a step", n-most, levelName(progress.Level(level)), most))
		}
	}
}

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
	if len(f.partial) > maxLine {
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
