package progress

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Hidden stands where something was taken out of a text.
const Hidden = "***"

// shortestSecret is the length below which a value is no secret: taking out
// every "1" or "true" would tear texts apart and hide nothing.
const shortestSecret = 5

// Hide gives a function that takes values out of texts, also as they are
// written in quotes, in URLs and in base64, the password of a URL by itself, and
// what is left of one at an end where a text was cut. A value of several lines
// is taken out line by line, as a log shows it.
func Hide(values []string) func(string) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, forms(v)...)
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return len(p) < shortestSecret })
	if len(parts) == 0 {
		return func(text string) string { return text }
	}
	// The longest first: one value may be a part of another.
	slices.SortFunc(parts, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	parts = slices.Compact(parts)
	pairs := make([]string, 0, 2*len(parts))
	for _, p := range parts {
		pairs = append(pairs, p, Hidden)
	}
	whole := strings.NewReplacer(pairs...)
	return func(text string) string { return hideCut(whole.Replace(text), parts) }
}

// forms is a value as texts may show it.
func forms(value string) []string {
	var all []string
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		quoted := strconv.Quote(line)
		all = append(all, line, strings.Join(strings.Fields(line), " "), quoted[1:len(quoted)-1], url.QueryEscape(line), url.PathEscape(line))
	}
	if u, err := url.Parse(strings.TrimSpace(value)); err == nil {
		if password, ok := u.User.Password(); ok {
			all = append(all, password)
		}
	}
	return append(all, base64.StdEncoding.EncodeToString([]byte(value)))
}

const ellipsis = "…"

// hideCut takes the beginning of a part out where a text ends or was cut.
func hideCut(text string, parts []string) string {
	pieces := strings.Split(text, ellipsis)
	for i, piece := range pieces {
		body := strings.TrimRight(piece, " .\n")
		most := 0
		for _, part := range parts {
			most = max(most, overlap(body, part))
		}
		if most > 0 {
			pieces[i] = body[:len(body)-most] + Hidden + piece[len(body):]
		}
	}
	return strings.Join(pieces, ellipsis)
}

// overlap is how many bytes of the part's beginning a text ends with; 0 where
// they are too few to be told from chance.
func overlap(text, part string) int {
	for n := min(len(text), len(part)-1); n >= shortestSecret; n-- {
		if text[len(text)-n] == part[0] && strings.HasSuffix(text, part[:n]) {
			return n
		}
	}
	return 0
}

// Hiding is log without what hide takes out of its lines.
func Hiding(log Log, hide func(string) string) Log { return &hiding{log: log, hide: hide} }

type hiding struct {
	log  Log
	hide func(string) string
}

func (h *hiding) Group(title string) func() { return h.log.Group(h.hide(title)) }

func (h *hiding) Linef(format string, args ...any) {
	h.log.Linef("%s", h.hide(fmt.Sprintf(format, args...)))
}

func (h *hiding) Annotate(note Annotation) {
	note.Title, note.Message = h.hide(note.Title), h.hide(note.Message)
	h.log.Annotate(note)
}

func (h *hiding) Foreign() io.Writer {
	return &wholeLines{pass: func(line string) error {
		_, err := io.WriteString(h.log.Foreign(), h.hide(line)+"\n")
		return err
	}}
}
