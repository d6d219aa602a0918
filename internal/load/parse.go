package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	longest = 4096 // bytes of a line
	example = `GET /orders => 200 contains "total" json .items[0].name == "cup"`
)

var methods = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}

// ParseSmoke reads
//
//	METHOD /path => STATUS [contains "text"] [json .path == value]
//
// In the text, \" and the other escapes of JSON strings are known. The path is
// jq's, as far as it names one value: .a.b[0]["c d"]. The value is the rest of
// the line: a JSON literal, or else a bare word that stands for a string.
// Errors say what was expected, at which column, and give an example.
func ParseSmoke(line string) (Smoke, error) {
	switch {
	case len(line) > longest:
		return Smoke{}, fmt.Errorf("%d bytes long: expected at most %d", len(line), longest)
	case !utf8.ValidString(line):
		return Smoke{}, errors.New("not text: expected UTF-8")
	case strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
		return Smoke{}, errors.New("holds control characters: expected one line of text")
	}
	p := parser{line: line, rest: line}
	s, err := p.smoke()
	if err != nil {
		return Smoke{}, err
	}
	s.Text = strings.Trim(line, " \t")
	return s, nil
}

type parser struct{ line, rest string }

func (p *parser) fail(want string) error {
	at := utf8.RuneCountInString(p.line) - utf8.RuneCountInString(p.rest)
	found := "the end"
	if p.rest != "" {
		runes := []rune(p.rest)
		found = strconv.Quote(string(runes[:min(len(runes), 24)]))
	}
	return fmt.Errorf("column %d: expected %s, found %s, e.g. %s", at+1, want, found, example)
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// word looks at what comes before the next space.
func (p *parser) word() string {
	p.space()
	if n := strings.IndexAny(p.rest, " \t"); n >= 0 {
		return p.rest[:n]
	}
	return p.rest
}

func (p *parser) take(word string) { p.rest = p.rest[len(word):] }

func (p *parser) smoke() (Smoke, error) {
	var s Smoke
	s.Method = p.word()
	if !slices.Contains(methods, s.Method) {
		return s, p.fail("a method (" + strings.Join(methods, ", ") + ")")
	}
	p.take(s.Method)
	s.Path = p.word()
	if !isPath(s.Path) {
		return s, p.fail("a path like /orders?page=1")
	}
	p.take(s.Path)
	if p.word() != "=>" {
		return s, p.fail("=>")
	}
	p.take("=>")
	status := p.word()
	n, err := strconv.Atoi(status)
	if err != nil || len(status) != 3 || n < 100 || n > 599 {
		return s, p.fail("a status from 100 to 599")
	}
	s.Status = n
	p.take(status)
	if p.word() == "contains" {
		p.take("contains")
		if s.Contains, err = p.quoted(); err != nil {
			return s, err
		}
	}
	switch word := p.word(); word {
	case "":
		return s, nil
	case "json":
		p.take(word)
		return p.json(s)
	}
	if s.Contains != "" {
		return s, p.fail("json or the end of the line")
	}
	return s, p.fail("contains, json or the end of the line")
}

// quoted takes a JSON string that is not empty.
func (p *parser) quoted() (string, error) {
	p.space()
	var text string
	d := json.NewDecoder(strings.NewReader(p.rest))
	if !strings.HasPrefix(p.rest, `"`) || d.Decode(&text) != nil || text == "" {
		return "", p.fail(`a "text"`)
	}
	p.rest = p.rest[d.InputOffset():]
	if p.rest != "" && !strings.ContainsAny(p.rest[:1], " \t") {
		return "", p.fail("a space")
	}
	return text, nil
}

func (p *parser) json(s Smoke) (Smoke, error) {
	p.space()
	before := p.rest
	_, rest, err := parsePath(p.rest)
	if err != nil {
		p.rest = rest
		return s, p.fail(err.Error())
	}
	s.JSONPath = before[:len(before)-len(rest)]
	p.rest = rest
	p.space()
	if !strings.HasPrefix(p.rest, "==") {
		return s, p.fail("==")
	}
	p.take("==")
	p.space()
	value := strings.TrimRight(p.rest, " \t")
	switch _, err := decode([]byte(value)); {
	case err == nil:
		s.JSONValue = value
	case value == "" || strings.ContainsAny(value, "\"'[]{}\\, \t"):
		return s, p.fail("a JSON value or a bare word")
	default:
		raw, err := json.Marshal(value)
		if err != nil {
			return s, p.fail("a JSON value or a bare word")
		}
		s.JSONValue = string(raw)
	}
	return s, nil
}
