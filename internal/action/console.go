package action

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sethvargo/go-githubactions"

	"github.com/fibership/fibership/internal/progress"
)

// console is the log of a run. Every line passes through it: it hides secrets
// and breaks what the runner would take for a command.
type console struct {
	mu        sync.Mutex
	out       io.Writer
	inActions bool
	annotates bool // notes are commands of the runner: somebody reads them
	masks     masks
	group     int    // counts the groups that were opened
	open      bool   // the last of them is
	annotated [3]int // by level: notes issued
	plain     [3]int // by level: notes that are lines of the log only
	foreign   []*foreign
	heard     time.Time // when anything was written last
	at        string    // the phase, or what was said in it last
	since     time.Time // when that was
}

var _ progress.Log = (*console)(nil)

func (c *console) mask(value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range c.masks.add(value) {
		if c.inActions {
			c.command("add-mask", secret, nil)
		}
	}
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
	c.reached(title)
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
	for i, line := range lines(fmt.Sprintf(format, args...)) {
		if i == 0 {
			c.reached(line)
		}
		c.line(line)
	}
}

// command issues a command of our own; its text is clean or meant to be told.
func (c *console) command(name, message string, properties githubactions.CommandProperties) {
	command := githubactions.Command{Name: name, Message: message, Properties: properties}
	c.heard = time.Now()
	_, _ = io.WriteString(c.out, command.String()+"\n") // nobody to tell
}

// line writes one line of anybody's.
func (c *console) line(text string) {
	text = visible(text)
	if plain := colors.ReplaceAllString(text, ""); c.masks.holds(plain) {
		text = c.masks.redact(plain)
	}
	c.heard = time.Now()
	_, _ = io.WriteString(c.out, neutral(text)+"\n")
}

// clean is a line's text for a command: without colours too.
func (c *console) clean(text string) string {
	return neutral(c.masks.redact(colors.ReplaceAllString(visible(text), "")))
}

// close says what was left out and ends what is open, so that what ended the run
// is seen without unfolding anything.
func (c *console) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.foreign {
		f.flush()
	}
	c.endGroup()
}
