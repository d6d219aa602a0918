package action

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sethvargo/go-githubactions"

	"github.com/fibership/fibership/internal/progress"
)

// What GitHub shows of a step's annotations.
// Source: https://docs.github.com/rest/checks/runs
const (
	maxAnnotations = 10   // of a level that GitHub shows for a step
	maxNote        = 4096 // characters that it shows of one
)

// Annotate writes a note; beyond what GitHub shows it becomes a plain line.
func (c *console) Annotate(note progress.Annotation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	level := min(max(note.Level, progress.Notice), progress.Error)
	most := maxAnnotations
	if level == progress.Error {
		most-- // the last is for the cause of failure
	}
	c.note(level, note, c.annotated[level] < most)
}

// final writes a note that ends the run: an annotation, whatever went before.
func (c *console) final(note progress.Annotation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(progress.Error, note, true)
}

func (c *console) note(level progress.Level, note progress.Annotation, issue bool) {
	if !c.annotates || !issue {
		c.plain[level]++
		for i, line := range lines(plainNote(level, note)) {
			if i > 0 {
				line = "  " + line
			}
			c.line(line)
		}
		return
	}
	c.annotated[level]++
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

// unshown tells how many notes are lines of the log only.
func (c *console) unshown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.annotates {
		return
	}
	for level, n := range c.plain {
		if n > 0 {
			c.line(fmt.Sprintf("%d more of level %s are in the log only: GitHub shows %d a step", n, levelName(progress.Level(level)), maxAnnotations))
		}
	}
}
