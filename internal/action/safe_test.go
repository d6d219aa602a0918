package action

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// commandIn tells whether the runner, or act, would take a line for a command.
// Names are not looked up: what looks like a command counts as one.
func commandIn(line string) bool {
	for _, l := range []string{line, strings.Map(overlooked, line)} {
		trimmed := strings.TrimLeftFunc(l, unicode.IsSpace)
		if strings.HasPrefix(trimmed, "::") && strings.Contains(trimmed[2:], "::") {
			return true
		}
		if at := strings.Index(l, "##["); at >= 0 && strings.Contains(l[at:], "]") {
			return true
		}
	}
	return actCommand.MatchString(line)
}

// overlooked drops what a comparison by culture does not see.
func overlooked(r rune) rune {
	if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) ||
		unicode.IsControl(r) && !unicode.IsSpace(r) {
		return -1
	}
	return r
}

var actCommand = regexp.MustCompile(`^(::([^ ]+)( (.+))?::([^\r\n]*)|##\[([^ ]+)( (.+))?\]([^\r\n]*))$`)

var hostile = []string{
	"::error::x",
	"  ::set-output name=a::b",
	"\u00a0\u2003::error::x",
	"\u200b::error::x",
	":\u200d:error::x",
	"\ufeff::error::x",
	"\x00::error::x",
	"\x1b[31m::error::x",
	"\x1b[2K::error::x",
	"\x1b]8;;http://x\x07::error::x",
	"text\r::error::x",
	"text\r\n::error::x\r",
	"text ##[error]x",
	"##\u00ad[error]x",
	"##\x1b[merror]x",
	"###[group]x",
	"#\x1b[K#[error]",
	"##\x1b\x1b[2K[error]x]",
	"::add-mask::a\n::stop-commands::b",
	":::error::x",
	"\x85::error::x",
	"\u2028::error::x",
}

func TestForeign_cannotIssueCommands(t *testing.T) {
	for _, text := range hostile {
		assertNoCommand(t, []byte(text), 1)
	}
}

func FuzzForeign(f *testing.F) {
	for _, text := range hostile {
		f.Add([]byte(text), 1)
		f.Add([]byte(text), 7)
	}
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		assertNoCommand(t, text, step)
	})
}

// assertNoCommand writes text in pieces, as a program of any kind may.
func assertNoCommand(t *testing.T, text []byte, step int) {
	t.Helper()
	step = min(max(step, 1), 100)
	var out bytes.Buffer
	c := &console{out: &out, inActions: true}
	w := c.Foreign()
	for piece := text; len(piece) > 0; {
		n := min(step, len(piece))
		if _, err := w.Write(piece[:n]); err != nil {
			t.Fatal(err)
		}
		piece = piece[n:]
	}
	c.Linef("%s", text)
	c.close()
	for _, line := range lines(out.String()) {
		if commandIn(line) {
			t.Errorf("%q became the command %q", text, line)
		}
	}
}

func TestGroup_titleCannotIssueCommands(t *testing.T) {
	for _, text := range hostile {
		var out bytes.Buffer
		c := &console{out: &out, inActions: true}
		c.Group(text)()
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(got) != 2 || !strings.HasPrefix(got[0], "::group::") || got[1] != "::endgroup::" {
			t.Errorf("group %q gave %q", text, got)
		}
		if title := strings.TrimPrefix(got[0], "::group::"); strings.ContainsAny(title, "\r\n") || strings.Contains(title, "##[") {
			t.Errorf("title %q", title)
		}
	}
}

func TestVisible_keepsColoursAndText(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[1;31mred\x1b[0m":             "\x1b[1;31mred\x1b[0m",
		"\x1b[2Kdone":                      "done",
		"a\tb":                             "a\tb",
		"bell\a":                           "bell",
		"\x1b]0;title\x07text":             "text",
		"naïve — ‚quoted‘ 東京":              "naïve — ‚quoted‘ 東京",
		"rtl\u202eevil":                    "rtlevil",
		"\x1b\x1b[2K[31mx":                 "[31mx",
		"cursor \x1b[3A and \x1b[38;5;9mC": "cursor  and \x1b[38;5;9mC",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestForeign_endsLinesAsTheRunnerDoes(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out}
	w := c.Foreign()
	for _, piece := range []string{"10%\r", "20%\r", "\ndone\r\n", "\nla", "st"} {
		_, _ = w.Write([]byte(piece))
	}
	c.close()
	if got, want := out.String(), "10%\n20%\ndone\n\nlast\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestForeign_bufferIsBounded(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out}
	c.mask("hunter2-is-the-secret")
	w := c.Foreign()
	endless := strings.Repeat("x", maxLine+c.masks.longest-5) + "hunter2-is-the-secret" + strings.Repeat("y", maxLine)
	for piece := range strings.SplitSeq(endless, "") {
		_, _ = w.Write([]byte(piece))
	}
	if out.Len() == 0 {
		t.Error("an endless line is held back for ever")
	}
	c.close()
	if got := out.String(); strings.Contains(strings.ReplaceAll(got, "\n", ""), "hunter2-is-the-secret") || !strings.Contains(got, "***") {
		t.Error("the secret at the cut is readable")
	}
	if got := strings.Count(out.String(), "y"); got != maxLine {
		t.Errorf("%d of %d bytes came through", got, maxLine)
	}
}
