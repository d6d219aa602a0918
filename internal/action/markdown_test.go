package action

import "testing"

func TestEscape_leavesNoMarkup(t *testing.T) {
	for in, want := range map[string]string{
		"orders-api v1.2":            "orders-api v1.2",
		"<script>a & b</script>":     "&lt;script&gt;a &amp; b&lt;/script&gt;",
		"a | b":                      `a \| b`,
		"[x](javascript:y)":          `\[x\]\(javascript\:y\)`,
		"*bold* _it_ `code` ~no~ #1": "\\*bold\\* \\_it\\_ \\`code\\` \\~no\\~ \\#1",
		"- item":                     `\- item`,
		"12. item":                   `12\. item`,
		"two\nlines":                 "two lines",
		"@octocat":                   "&#64;octocat",
		"https://evil.example":       `https\://evil.example`,
		"www.evil.example":           `www\.evil.example`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCode_cannotBeLeft(t *testing.T) {
	for in, want := range map[string]string{
		"":             "",
		"ghcr.io/a/b":  "`ghcr.io/a/b`",
		"a`<b>`":       "<code>a\\`&lt;b&gt;\\`</code>",
		"a|b":          `<code>a\|b</code>`,
		"one\n\n# two": `<code>one  \# two</code>`,
	} {
		if got := Code(in); got != want {
			t.Errorf("Code(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFence_isLongerThanAnyWithin(t *testing.T) {
	if got, want := Fence("text", "a\n````\nb\n"), "`````text\na\n````\nb\n`````\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTable_fillsShortRows(t *testing.T) {
	got := Table([]string{"a", "b"}, [][]string{{"1", "2\n3"}, {"4"}})
	want := "| a | b |\n| --- | --- |\n| 1 | 2<br>3 |\n| 4 |  |\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestDetails_titleIsText(t *testing.T) {
	got := Details("</summary><b>x: 1_a\n\n# @b", Mermaid("pie"))
	want := "<details><summary>&lt;/summary&gt;&lt;b&gt;x: 1_a  # &#64;b</summary>\n\n```mermaid\npie\n```\n\n</details>\n"
	if got != want {
		t.Errorf("got %q", got)
	}
}
