package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

// step is one part of a path: a key of an object or an index of a list.
type step struct {
	key   string
	index int // where key is not used
	list  bool
}

// parsePath reads jq's paths as far as they name one value: .a.b[0]["c d"];
// . alone is the whole. Negative indices count from the end. It returns what
// follows the path.
func parsePath(text string) (path []step, rest string, err error) {
	if !strings.HasPrefix(text, ".") {
		return nil, text, errors.New("a path that begins with a dot")
	}
	rest = text[1:]
	if !strings.HasPrefix(rest, "[") {
		if key := leadingKey(rest); key != "" {
			path, rest = append(path, step{key: key}), rest[len(key):]
		}
	}
	for rest != "" {
		switch rest[0] {
		case '.':
			after := rest[1:]
			if strings.HasPrefix(after, "[") && len(path) > 0 {
				rest = after
				continue
			}
			key := leadingKey(after)
			if key == "" || len(path) == 0 {
				return nil, rest, errors.New("a key")
			}
			path, rest = append(path, step{key: key}), after[len(key):]
		case '[':
			s, after, err := parseBracket(rest)
			if err != nil {
				return nil, rest, err
			}
			path, rest = append(path, s), after
		default:
			return path, rest, nil
		}
	}
	return path, rest, nil
}

func leadingKey(text string) string {
	n := strings.IndexFunc(text, func(r rune) bool {
		return r != '_' && r != '-' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if n < 0 {
		return text
	}
	return text[:n]
}

func parseBracket(text string) (step, string, error) {
	inner := text[1:]
	if strings.HasPrefix(inner, `"`) {
		quoted, err := strconv.QuotedPrefix(inner)
		if err != nil {
			return step{}, text, errors.New(`["a key"]`)
		}
		var key string
		if json.Unmarshal([]byte(quoted), &key) != nil || !strings.HasPrefix(inner[len(quoted):], "]") {
			return step{}, text, errors.New(`["a key"]`)
		}
		return step{key: key}, inner[len(quoted)+1:], nil
	}
	number, after, ok := strings.Cut(inner, "]")
	index, err := strconv.Atoi(number)
	if !ok || err != nil {
		return step{}, text, errors.New("[an index]")
	}
	return step{index: index, list: true}, after, nil
}

// lookUp finds the value under path.
func lookUp(body []byte, path string) (any, error) {
	steps, rest, err := parsePath(path)
	if err != nil || rest != "" {
		return nil, fmt.Errorf("no path: %q", path)
	}
	value, err := decode(body)
	if err != nil {
		return nil, errors.New("the body is no JSON")
	}
	at := ""
	for _, s := range steps {
		name := at + s.String()
		if s.list {
			list, ok := value.([]any)
			if !ok {
				return nil, fmt.Errorf("%s is %s, no list", orRoot(at), kind(value))
			}
			i := s.index
			if i < 0 {
				i += len(list)
			}
			if i < 0 || i >= len(list) {
				return nil, fmt.Errorf("%s holds %d items, there is no %d", orRoot(at), len(list), s.index)
			}
			value, at = list[i], name
			continue
		}
		object, ok := value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s is %s, no object", orRoot(at), kind(value))
		}
		if value, ok = object[s.key]; !ok {
			return nil, fmt.Errorf("there is no %s", name)
		}
		at = name
	}
	return value, nil
}

func (s step) String() string {
	if s.list {
		return fmt.Sprintf("[%d]", s.index)
	}
	if leadingKey(s.key) == s.key && s.key != "" {
		return "." + s.key
	}
	return fmt.Sprintf("[%q]", s.key)
}

func orRoot(at string) string {
	if at == "" {
		return "the body"
	}
	return at
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "a list"
	}
	return "an object"
}

// decode takes one JSON value and nothing after it, numbers as written.
func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

// equalJSON compares by value: 1, 1.0 and 1e0 are equal, and the order of an
// object's keys does not count.
func equalJSON(found any, want string) bool {
	wanted, err := decode([]byte(want))
	return err == nil && reflect.DeepEqual(canonical(found), canonical(wanted))
}

func canonical(v any) any {
	switch v := v.(type) {
	case json.Number:
		return canonicalNumber(v.String())
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = canonical(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = canonical(v[k])
		}
		return out
	}
	return v
}

type number string // so that 1 is not "1"

func canonicalNumber(text string) number {
	_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if len(text) > 400 || len(exponent) > 4 {
		return number(text) // not worth the work that a hostile exponent makes
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return number(text)
	}
	return number(r.RatString())
}
