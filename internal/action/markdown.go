package action

import (
	"regexp"
	"strings"
)

var (
	escaper = strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;",
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`,
		"(", `\(`, ")", `\)`, "#", `\#`, "!", `\!`, "|", `\|`, "~", `\~`, "@", "&#64;", ":", `\:`, "$", "&#36;",
		"\r\n", " ", "\n", " ", "\r", " ", "www.", `www\.`,
	)
	// Within a block of HTML, Markdown's marks are read as they are.
	inHTML   = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;", "\r", " ", "\n", " ")
	block    = regexp.MustCompile(`^(\s*)([-+=])`)
	numbered = regexp.MustCompile(`^(\s*\d+)\.`)
	fences   = regexp.MustCompile("`+")
)

// Escape makes text from outside safe within a line or a table's cell of
// Markdown: it reads as it is, and is no markup, HTML, link or mention.
func Escape(text string) string {
	text = escaper.Replace(text)
	text = block.ReplaceAllString(text, `$1\$2`)
	return numbered.ReplaceAllString(text, `$1\.`)
}

// Code is inline code, also within a table's cell.
func Code(text string) string {
	if text == "" {
		return ""
	}
	if strings.ContainsAny(text, "`|\r\n") || strings.TrimSpace(text) != text {
		return "<code>" + Escape(text) + "</code>"
	}
	return "`" + text + "`"
}

// Fence is a block of code that nothing in text can close; language may be "".
func Fence(language, text string) string {
	longest := 2
	for _, run := range fences.FindAllString(text, -1) {
		longest = max(longest, len(run))
	}
	fence := strings.Repeat("`", longest+1)
	return fence + language + "\n" + strings.TrimSuffix(text, "\n") + "\n" + fence + "\n"
}

// Table is a table of cells that are Markdown already; rows that are too short
// are filled up.
func Table(header []string, rows [][]string) string {
	var b strings.Builder
	write := func(cells []string) {
		b.WriteString("|")
		for i := range header {
			cell := ""
			if i < len(cells) {
				cell = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\n", "<br>")
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteString("\n")
	}
	write(header)
	b.WriteString("|" + strings.Repeat(" --- |", len(header)) + "\n")
	for _, row := range rows {
		write(row)
	}
	return b.String()
}

// Details folds a body of Markdown under a title of plain text.
func Details(title, body string) string {
	return "<details><summary>" + inHTML.Replace(title) + "</summary>\n\n" + strings.TrimSpace(body) + "\n\n</details>\n"
}

// Mermaid is a chart; its labels are the caller's own words.
func Mermaid(chart string) string { return Fence("mermaid", chart) }
