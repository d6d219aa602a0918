package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fibership/fibership/internal/image"
)

// items splits a list as every action does: one a line, # for comments.
func items(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			found = append(found, line)
		}
	}
	return found
}

func parsePackage(text string) (string, error) {
	if strings.HasPrefix(text, "-") || strings.Contains(text, "...") || strings.ContainsAny(text, " \t\r\n") {
		return "", errors.New("expected one package, not a pattern")
	}
	return text, nil
}

func parseTags(text string) ([]string, error) { return items(text), nil }

// ours are flags that would undo what build-image is about: where its output
// lies, that it is reproducible, that it is read.
var ours = []string{"-o", "-C", "-json", "-n", "-trimpath", "-buildvcs", "-ldflags", "-tags", "-c", "-exec", "-toolexec"}

func parseFlags(text string) ([]string, error) {
	flags := items(text)
	for _, flag := range flags {
		name, _, _ := strings.Cut("-"+strings.TrimLeft(flag, "-"), "=")
		if !strings.HasPrefix(flag, "-") {
			return nil, fmt.Errorf("%q is no flag; -name or -name=value is expected, one a line", flag)
		}
		if strings.ContainsAny(flag, " \t") && !strings.Contains(flag, "=") {
			return nil, fmt.Errorf("%q: -name=value is expected, one a line", flag)
		}
		if slices.Contains(ours, name) {
			return nil, fmt.Errorf("%s is set by the action itself", name)
		}
	}
	return flags, nil
}

// pairs are NAME=value in the order in which they were given.
type pairs []string

var variableName = regexp.MustCompile(`^[^\s=]+$`)

func parsePairs(text string) (pairs, error) {
	list := items(text)
	for _, pair := range list {
		if name, _, ok := strings.Cut(pair, "="); !ok || !variableName.MatchString(name) {
			return nil, fmt.Errorf("%q: NAME=value is expected, one a line", pair)
		}
	}
	return list, nil
}

func (p pairs) mapped() map[string]string {
	m := map[string]string{}
	for _, pair := range p {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

func parseTestEnv(text string) ([]string, error) {
	list := items(text)
	for _, item := range list {
		if name, _, _ := strings.Cut(item, "="); !variableName.MatchString(name) {
			return nil, fmt.Errorf("%q: NAME or NAME=value is expected, one a line", item)
		}
	}
	return list, nil
}

// fill gives bare names the values that environ has for them; a name that it
// has none for stays unset.
func fill(list, environ []string) []string {
	var filled []string
	for _, item := range list {
		if strings.Contains(item, "=") {
			filled = append(filled, item)
			continue
		}
		for _, pair := range environ {
			if strings.HasPrefix(pair, item+"=") {
				filled = append(filled, pair)
			}
		}
	}
	return filled
}

func parseInclusions(text string) ([]image.Inclusion, error) {
	var parsed []image.Inclusion
	for _, item := range items(text) {
		in, err := image.ParseInclusion(item)
		if err != nil {
			return nil, fmt.Errorf("%q: expected %w", item, err)
		}
		parsed = append(parsed, in)
	}
	return parsed, nil
}

func parsePort(text string) (int, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, errors.New("expected a port from 1 to 65535")
	}
	return int(port), nil
}

var userAndGroup = regexp.MustCompile(`^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$`)

func parseUser(text string) (string, error) {
	if !userAndGroup.MatchString(text) {
		return "", errors.New("expected user or user:group, as names or numbers")
	}
	return text, nil
}
