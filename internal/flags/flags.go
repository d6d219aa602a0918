// Package flags reads a flagd flag file and opens one of its flags to a share
// of those who ask: one step of a ramp. It is pure: where a file comes from,
// who gets it and how a step is judged is not known here.
package flags

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// MaxSize is what a ConfigMap can hold of a file, in bytes, beside its own
// fields.
const MaxSize = 1<<20 - 16<<10

// File is a flag file that keeps flagd's schema. It does not change: Open
// gives another one.
type File struct {
	content    map[string]any
	flags      map[string]any
	evaluators any // $evaluators: rules that flags share by name, nil: none
}

// Parse reads a flag file, JSON or YAML; name is where it lies, for errors.
// They begin with name:line and tell everything that is wrong at once.
func Parse(name string, text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s: %d bytes, a ConfigMap holds %d at the most", name, len(text), MaxSize)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	raw, err := plain(text)
	if err != nil {
		return nil, fmt.Errorf("%s: neither JSON nor YAML: %w", name, err)
	}
	var content map[string]any
	if err := utiljson.Unmarshal(raw, &content); err != nil || content == nil {
		return nil, fmt.Errorf("%s: not a flag file: expected an object with the field flags", name)
	}
	if deep(content, maxDepth) {
		return nil, fmt.Errorf("%s: nested more than %d levels deep", name, maxDepth)
	}
	lines := locate(text)
	if problems := append(lines.validate(raw), lines.defaults(content)...); len(problems) > 0 {
		return nil, told(name, problems)
	}
	f := newFile(content)
	if len(f.flags) == 0 {
		return nil, fmt.Errorf("%s: it holds no flag: expected an object with the field flags", name)
	}
	if size := len(f.JSON()); size > MaxSize {
		return nil, fmt.Errorf("%s: %d bytes as JSON, a ConfigMap holds %d at the most", name, size, MaxSize)
	}
	return f, nil
}

// Read reads what JSON gave: it passed once, and is not asked again by a schema
// that may be another version's.
func Read(text string) (*File, error) {
	var content map[string]any
	if err := utiljson.Unmarshal([]byte(text), &content); err != nil {
		return nil, fmt.Errorf("read a flag file: %w", err)
	}
	f := newFile(content)
	if f.flags == nil {
		return nil, errors.New("read a flag file: it holds no flags")
	}
	return f, nil
}

// maxDepth bounds the recursion over what a stranger wrote, and the time that
// the schema's alternatives take.
const maxDepth = 64

func deep(value any, left int) bool {
	if left == 0 {
		return true
	}
	switch value := value.(type) {
	case map[string]any:
		for _, inner := range value {
			if deep(inner, left-1) {
				return true
			}
		}
	case []any:
		for _, inner := range value {
			if deep(inner, left-1) {
				return true
			}
		}
	}
	return false
}

// plain gives JSON. Keys that are there twice are errors: which of the two
// counts would be chance.
func plain(text []byte) ([]byte, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		if key := twice(trimmed); key != "" {
			return nil, fmt.Errorf("key %q is there twice", key)
		}
		return trimmed, nil
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		words := strings.Join(strings.Fields(err.Error()), " ")
		for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors: "} {
			words = strings.TrimPrefix(words, prefix)
		}
		return nil, errors.New(words)
	}
	return raw, nil
}

// twice is a key that an object of the valid JSON holds more than once, empty
// where there is none.
func twice(text []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		keys map[string]bool // nil: a list
		key  bool            // the next string is a key
	}
	var levels []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		top := len(levels) - 1
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				levels = append(levels, level{keys: map[string]bool{}, key: true})
				continue
			case '[':
				levels = append(levels, level{})
				continue
			}
			levels = levels[:top]
			top--
		case string:
			if top >= 0 && levels[top].key {
				if levels[top].keys[token] {
					return token
				}
				levels[top].keys[token], levels[top].key = true, false
				continue
			}
		}
		if top >= 0 && levels[top].keys != nil {
			levels[top].key = true // a value ended
		}
	}
}

func newFile(content map[string]any) *File {
	flags, _ := content["flags"].(map[string]any)
	return &File{content: content, flags: flags, evaluators: content["$evaluators"]}
}

// Names are the file's flags, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.flags)) }

// JSON is the file as flagd reads it. Equal files give equal bytes.
func (f *File) JSON() string { return encode(f.content) }

// Definition is a hash of what the file says of a flag, with the rules that
// flags share if it refers to one; false where it does not say anything.
func (f *File) Definition(flag string) (string, bool) {
	definition, ok := f.flags[flag]
	if !ok {
		return "", false
	}
	text := encode(definition)
	if strings.Contains(text, `"$ref"`) {
		text += encode(f.evaluators)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8]), true
}

// With is the file in which a flag is as the other file defines it.
func (f *File) With(flag string, other *File) *File {
	return f.set(flag, other.flags[flag])
}

func (f *File) set(flag string, definition any) *File {
	content, flags := maps.Clone(f.content), maps.Clone(f.flags)
	flags[flag] = definition
	content["flags"] = flags
	return newFile(content)
}

func encode(value any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // rules have operators such as <
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Sprintf("a value that was decoded cannot be encoded: %v", err))
	}
	return b.String()
}
