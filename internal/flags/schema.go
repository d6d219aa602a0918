package flags

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	schemas "github.com/open-feature/flagd-schemas/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	yamlv3 "go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schema is flagd's own, compiled once. Both parts come with the module, under
// the names by which they refer to each other: nothing is loaded from anywhere.
var schema = sync.OnceValue(func() *jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{})
	for _, part := range []struct{ id, text string }{{targetingID, schemas.TargetingSchema}, {flagsID, schemas.FlagSchema}} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(part.text))
		if err == nil {
			err = compiler.AddResource(part.id, document)
		}
		if err != nil {
			panic(fmt.Sprintf("flagd's schema %s cannot be read: %v", part.id, err))
		}
	}
	return compiler.MustCompile(flagsID)
})

// The schemas' own names.
const (
	flagsID     = "https://flagd.dev/schema/v0/flags.json"
	targetingID = "https://flagd.dev/schema/v0/targeting.json"
)

// problem is one thing that is wrong, and where.
type problem struct {
	line int // from 1; 0: not known
	text string
}

// most is how many problems are told.
const most = 8

func told(name string, problems []problem) error {
	slices.SortFunc(problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.text, b.text))
	})
	problems = slices.Compact(problems)
	var errs []error
	for i, p := range problems {
		if i == most {
			errs = append(errs, fmt.Errorf("%s: and %d more", name, len(problems)-most))
			break
		}
		place := name
		if p.line > 0 {
			place += ":" + strconv.Itoa(p.line)
		}
		errs = append(errs, fmt.Errorf("%s: %s", place, p.text))
	}
	return errors.Join(errs...)
}

// lines finds the place of a value in the text that it was read from. JSON is
// YAML as far as places go.
type lines struct{ root *yamlv3.Node }

func locate(text []byte) lines {
	var document yamlv3.Node
	if yamlv3.Unmarshal(text, &document) != nil || len(document.Content) == 0 {
		return lines{}
	}
	return lines{document.Content[0]}
}

// line of the value at path, or of what holds it; 0 where nothing is known.
func (l lines) line(path []string) int {
	node, line := l.root, 0
	for _, name := range path {
		if node == nil {
			return line
		}
		var inner *yamlv3.Node
		switch node.Kind {
		case yamlv3.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == name {
					inner, line = node.Content[i+1], node.Content[i].Line
				}
			}
		case yamlv3.SequenceNode:
			if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(node.Content) {
				inner, line = node.Content[i], node.Content[i].Line
			}
		case yamlv3.DocumentNode, yamlv3.ScalarNode, yamlv3.AliasNode:
		}
		node = inner
	}
	return line
}

func (l lines) problem(path []string, format string, args ...any) problem {
	text := fmt.Sprintf(format, args...)
	if len(path) > 0 {
		text = strings.Join(path, ".") + ": " + text
	}
	return problem{l.line(path), text}
}

// validate holds JSON against flagd's schema.
func (l lines) validate(raw []byte) []problem {
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err == nil {
		err = schema().Validate(instance)
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return []problem{{text: err.Error()}}
	}
	var problems []problem
	for _, e := range closest(invalid) {
		problems = append(problems, l.problem(e.InstanceLocation, "%s", e.ErrorKind.LocalizedString(english)))
	}
	return problems
}

// english is what the schema's problems are told in.
var english = message.NewPrinter(language.English)

// closest is what is wrong, as closely as it is known. Where one of several
// forms is wanted, that of them is meant which the value comes nearest to.
func closest(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all, best []*jsonschema.ValidationError
	for _, cause := range e.Causes {
		found := closest(cause)
		all = append(all, found...)
		if best == nil || len(found) < len(best) {
			best = found
		}
	}
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		return best
	}
	return all
}

// defaults are flags whose defaultVariant is no variant: the schema cannot
// say this, and flagd refuses the whole file for it.
func (l lines) defaults(content map[string]any) []problem {
	var problems []problem
	flags, _ := content["flags"].(map[string]any)
	for name, definition := range flags {
		definition, _ := definition.(map[string]any)
		given, ok := definition["defaultVariant"].(string)
		if !ok || given == "" {
			continue
		}
		variants, _ := definition["variants"].(map[string]any)
		if _, ok := variants[given]; !ok {
			problems = append(problems, l.problem([]string{"flags", name, "defaultVariant"}, "%q is none of the variants", given))
		}
	}
	return problems
}
