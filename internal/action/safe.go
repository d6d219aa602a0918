package action

import (
	"regexp"
	"strings"
	"unicode"
)

// What the runner reads as a command, in a line of either standard stream:
//
//   - "::name …::" at its start, after any Unicode white space;
//   - "##[name …]" anywhere.
//
// It compares by culture, which overlooks characters that are not seen, and it
// ends lines at carriage returns too.
// Source: https://github.com/actions/runner/blob/v2.336.0/src/Runner.Common/ActionCommand.cs

const color = `\x1b\[[0-9;:]*m`

var (
	sequence = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])`)
	colors   = regexp.MustCompile(color)
	leading  = regexp.MustCompile(`^((?:[\s\pZ]|` + color + `)*):((?:` + color + `)*):`)
	anywhere = regexp.MustCompile(`##(\x1b?)\[`)
)

// visible keeps what can be seen of one line: tabs and colours stay, other
// control sequences, control characters and invisible characters go.
func visible(line string) string {
	var b strings.Builder
	at := 0
	for _, found := range sequence.FindAllStringIndex(line, -1) {
		b.WriteString(strings.Map(seen, line[at:found[0]]))
		if s := line[found[0]:found[1]]; colors.FindString(s) == s {
			b.WriteString(s)
		}
		at = found[1]
	}
	b.WriteString(strings.Map(seen, line[at:]))
	return b.String()
}

func seen(r rune) rune {
	switch {
	case r == '\t':
		return r
	case unicode.IsControl(r),
		unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return -1
	}
	return r
}

// neutral breaks, in a visible line, what the runner would take for a command.
func neutral(line string) string {
	line = anywhere.ReplaceAllString(line, "## $1[")
	return leading.ReplaceAllString(line, "$1: $2:")
}

// lines splits text as the runner does, at every kind of line end.
func lines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
