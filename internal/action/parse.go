package action

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Each parser's error says what is expected; the reader of inputs adds which
// input it is, what it held and an example.

func parseText(raw string) (string, error) {
	for _, r := range raw {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return "", errors.New("expected text without control characters")
		}
	}
	return raw, nil
}

func parseChoice(choices []string) func(string) (string, error) {
	return func(raw string) (string, error) {
		if !slices.Contains(choices, raw) {
			return "", fmt.Errorf("expected one of %s", quoted(choices))
		}
		return raw, nil
	}
}

// quoted lists words for a sentence: "a", "b" or "c" in tables' form.
func quoted(words []string) string {
	return "`" + strings.Join(words, "`, `") + "`"
}

// parseList takes one item a line; blank lines and # comments are skipped. A #
// later in a line belongs to the item: it may be a URL's fragment.
func parseList(raw string) ([]string, error) {
	var items []string
	for line := range written(raw) {
		item, err := parseText(line)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// written is the lines of a list that are no comments and not blank.
func written(raw string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(raw) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

// blank says whether a list has no item, but comments at the most.
func blank(raw string) bool {
	for range written(raw) {
		return false
	}
	return true
}

func parseWords(raw string) ([]string, error) {
	lines, err := parseList(raw)
	if err != nil {
		return nil, err
	}
	var words []string
	for _, line := range lines {
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
	}
	return words, nil
}

// parseBool knows YAML 1.2's core schema, as actions/toolkit's getBooleanInput
// does: a "yes" that silently meant false would be worse than a mistake.
// Source: https://yaml.org/spec/1.2.2/#1032-tag-resolution
func parseBool(raw string) (bool, error) {
	switch raw {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errors.New("expected true or false")
}

func parseDuration(raw string) (time.Duration, error) {
	d, err := time.ParseDuration(raw)
	if err != nil || d < 0 {
		return 0, errors.New("expected a duration with its unit: s, m or h")
	}
	return d, nil
}

func parsePercent(raw string) (float64, error) {
	expected := errors.New("expected a percentage from 0% to 100%, with its sign")
	number, found := strings.CutSuffix(raw, "%")
	if !found || strings.ContainsAny(number, "xXpP_eE") {
		return 0, expected
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 100 {
		return 0, expected
	}
	return v / 100, nil
}

func parseNumber(raw string) (int, error) {
	n, err := strconv.ParseUint(raw, 10, 31)
	if err != nil {
		return 0, errors.New("expected a whole number, zero or more")
	}
	return int(n), nil
}

func parseSecret(raw string) (Secret, error) { return Secret(raw), nil }
