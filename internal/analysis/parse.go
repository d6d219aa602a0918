package analysis

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest bounds a line of the grammar, in bytes.
const longest = 4096

// SyntaxError says where a line departs from the grammar and what would
// follow it.
type SyntaxError struct {
	Line   string // as given
	Column int    // of the first character that does not fit, from 1
	Want   string // what was expected there
	Like   string // a whole line that is right
}

// Error names the column, what stands there, what is expected, and an example.
func (e *SyntaxError) Error() string {
	found := "the end"
	if rest := []rune(e.Line); e.Column <= len(rest) {
		found = strconv.Quote(clip(string(rest[e.Column-1:]), 24))
	}
	return fmt.Sprintf("column %d: expected %s, found %s, e.g. %s", e.Column, e.Want, found, e.Like)
}

func clip(s string, runes int) string {
	r := []rune(s)
	if len(r) <= runes {
		return s
	}
	return string(r[:runes-1]) + "…"
}

// Parse reads one line:
//
//	<metric> <operator> <value>
//	<metric> worse-than baseline by <value>
//
// Metrics are error-rate (value 1%), p50 p90 p95 p99 max (250ms, 1.5s), rate
// (100/s), restarts (1) and query("PromQL") (a number; \" and \\ stand for
// " and \ in it). Operators are < <= > >=. Against the baseline, error-rate's
// value is in percentage points; a latency's, rate's or query's may also be a
// share of the baseline's (20%). Space between the parts is free. Errors are
// *SyntaxError.
func Parse(line string) (Check, error) {
	p := parser{line: line, rest: strings.TrimLeft(line, " \t")}
	switch {
	case len(line) > longest:
		return Check{}, fmt.Errorf("%d bytes long: expected at most %d", len(line), longest)
	case !utf8.ValidString(line):
		return Check{}, errors.New("not text: expected UTF-8")
	case strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
		return Check{}, errors.New("holds control characters: expected one line of text")
	}
	c, err := p.check()
	if err != nil {
		return Check{}, err
	}
	c.Text = strings.Trim(line, " \t")
	return c, nil
}

type parser struct {
	line, rest string
	like       string
}

func (p *parser) fail(want string) error {
	at := utf8.RuneCountInString(p.line) - utf8.RuneCountInString(p.rest)
	return &SyntaxError{Line: p.line, Column: at + 1, Want: want, Like: p.like}
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// word takes the longest run of letters, digits and hyphens.
func (p *parser) word() string {
	n := strings.IndexFunc(p.rest, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if n < 0 {
		n = len(p.rest)
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *parser) check() (Check, error) {
	var c Check
	p.like = "error-rate < 1%"
	before := p.rest
	c.Metric = Metric(p.word())
	unit, ok := units[c.Metric]
	if !ok {
		p.rest = before
		return c, p.fail(`a metric (error-rate, p50, p90, p95, p99, max, rate, restarts, query("…"))`)
	}
	p.like = unit.like
	if c.Metric == Query {
		query, err := p.query()
		if err != nil {
			return c, err
		}
		c.Query = query
	}
	p.space()
	if strings.HasPrefix(p.rest, "worse-than") {
		return p.baseline(c, unit)
	}
	for _, op := range []Operator{AtMost, AtLeast, Less, More} {
		if rest, ok := strings.CutPrefix(p.rest, string(op)); ok {
			c.Operator, p.rest = op, rest
			break
		}
	}
	if c.Operator == "" {
		return c, p.fail("<, <=, >, >= or worse-than baseline by")
	}
	var err error
	c.Value, _, err = p.value(unit.suffixes, unit.want)
	return c, err
}

func (p *parser) baseline(c Check, unit unit) (Check, error) {
	p.like = unit.likeBaseline
	for _, word := range []string{"worse-than", "baseline", "by"} {
		p.space()
		before := p.rest
		if p.word() != word {
			p.rest = before
			return c, p.fail(word)
		}
	}
	c.Baseline = true
	suffixes, want := unit.suffixes, unit.want
	if unit.relative {
		suffixes = slices.Concat(suffixes, []suffix{percent})
		want += " or a share of the baseline's like 20%"
	}
	value, taken, err := p.value(suffixes, want)
	c.Value, c.Relative = value, unit.relative && taken == percent
	return c, err
}

// query takes ("…").
func (p *parser) query() (string, error) {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, "(")
	if !ok {
		return "", p.fail(`("`)
	}
	p.rest = rest
	p.space()
	if rest, ok = strings.CutPrefix(p.rest, `"`); !ok {
		return "", p.fail(`"`)
	}
	p.rest = rest
	var text strings.Builder
	for {
		r, n := utf8.DecodeRuneInString(p.rest)
		switch {
		case n == 0:
			return "", p.fail(`the closing "`)
		case r == '\\':
			if len(p.rest) < 2 || (p.rest[1] != '"' && p.rest[1] != '\\') {
				return "", p.fail(`\" or \\`)
			}
			text.WriteByte(p.rest[1])
			p.rest = p.rest[2:]
			continue
		case r == '"':
			if strings.TrimSpace(text.String()) == "" {
				return "", p.fail("PromQL between the quotes")
			}
			p.rest = p.rest[n:]
			p.space()
			if rest, ok = strings.CutPrefix(p.rest, ")"); !ok {
				return "", p.fail(")")
			}
			p.rest = rest
			return text.String(), nil
		}
		text.WriteRune(r)
		p.rest = p.rest[n:]
	}
}

// value takes a number and one of the suffixes, then the end of the line.
func (p *parser) value(suffixes []suffix, want string) (float64, suffix, error) {
	p.space()
	text := strings.TrimRight(p.rest, " \t")
	for _, s := range suffixes {
		number, ok := strings.CutSuffix(text, s.text)
		if !ok {
			continue
		}
		number = strings.TrimRight(number, " \t")
		allowed := "0123456789."
		if s == anyNumber {
			allowed += "+-eE"
		}
		if strings.Trim(number, allowed) != "" {
			continue
		}
		if s.exponent != 0 { // scaled as decimals, so that String can write back what was read
			number += "e" + strconv.Itoa(s.exponent)
		}
		f, err := strconv.ParseFloat(number, 64)
		if err != nil || s.whole && f != math.Trunc(f) || f > s.most {
			continue
		}
		p.rest = ""
		return f, s, nil
	}
	return 0, suffix{}, p.fail(want)
}
