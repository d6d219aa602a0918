package load

import (
	"strings"
	"unicode"
)

// clean makes a line of what a server sent: at most 200 characters, without
// control characters or broken UTF-8.
func clean(text string) string {
	var line strings.Builder
	n, space := 0, false
	for _, r := range text {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			space = true
			continue
		}
		if n >= shownRunes {
			line.WriteRune('…')
			break
		}
		if space && n > 0 {
			line.WriteRune(' ')
			n++
		}
		space = false
		line.WriteRune(r)
		n++
	}
	return line.String()
}
