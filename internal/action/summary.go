package action

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/fibership/fibership/internal/progress"
)

// summary writes the job summary; at a terminal it is dropped.
type summary struct {
	console *console
	path    string // GITHUB_STEP_SUMMARY
	limit   int    // bytes; 0 for the runner's

	mu   sync.Mutex
	full bool
}

const (
	// maxSummary is where GitHub shows nothing at all.
	// Source: https://docs.github.com/actions/reference/workflow-commands-for-github-actions#step-isolation-and-limits
	maxSummary  = 1 << 20
	closingRoom = 512 // bytes kept for what closes a shortened summary
	shortened   = "\n\n*This summary was too long and is shortened; the log has everything.*\n"
)

func (s *summary) add(markdown string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" || s.full || markdown == "" {
		return
	}
	if err := s.write(s.console.markdown(markdown)); err != nil {
		s.full = true
		progress.Warn(s.console, "Summary left out", err.Error())
	}
}

func (s *summary) write(text string) error {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // the runner names its own file and reads it as another user
	if err != nil {
		return fmt.Errorf("open the summary: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		most := maxSummary
		if s.limit > 0 {
			most = s.limit
		}
		if room := most - closingRoom - int(info.Size()); len(text) > room {
			s.full = true
			text = cutMarkdown(text, max(room, 0)) + shortened
		}
		_, err = f.WriteString(text)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// cutMarkdown cuts on a rune's boundary and closes the fence and the foldings
// that the cut left open.
func cutMarkdown(text string, most int) string {
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	text = text[:most]
	fence, details := "", 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		ticks := line[:len(line)-len(strings.TrimLeft(line, "`"))]
		switch {
		case fence != "" && line == fence:
			fence = ""
		case fence != "":
		case len(ticks) >= 3 && !strings.Contains(line[len(ticks):], "`"):
			fence = ticks
		default:
			details += strings.Count(line, "<details>") - strings.Count(line, "</details>")
		}
	}
	if fence != "" {
		text += "\n" + fence
	}
	return text + strings.Repeat("\n\n</details>", min(max(details, 0), 10))
}

// markdown is a summary's text without secrets and control characters.
func (c *console) markdown(text string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := lines(text)
	for i, line := range all {
		all[i] = c.masks.redact(colors.ReplaceAllString(visible(line), ""))
	}
	return strings.Join(all, "\n") + "\n"
}
