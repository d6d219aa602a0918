package flags

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	schemas "github.com/open-feature/flagd-schemas/json"
	"github.com/xeipuuv/gojsonschema"
	yamlv3 "go.yaml.in/yaml/v3"
)

// schema is flagd's own, compiled once. Both parts come with the module: a
// reference from one to the other asks no network.
var schema = sync.OnceValue(func() *gojsonschema.Schema {
	loader := gojsonschema.NewSchemaLoader()
	err := loader.AddSchemas(gojsonschema.NewStringLoader(schemas.TargetingSchema))
	compiled, errCompile := loader.Compile(gojsonschema.NewStringLoader(schemas.FlagSchema))
	if err := errors.Join(err, errCompile); err != nil {
		panic(fmt.Sprintf("flagd's schema does not compile: %v", err))
	}
	return compiled
})

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
	result, err := schema().Validate(gojsonschema.NewBytesLoader(raw))
	if err != nil {
		return []problem{{text: err.Error()}}
	}
	var problems, vague []problem
	for _, e := range result.Errors() {
		path := strings.Split(e.Context().String("\x00"), "\x00")[1:] // the first is (root)
		text := strings.TrimPrefix(e.Description(), strings.Join(path, ".")+" ")
		switch e.(type) {
		case *gojsonschema.NumberOneOfError, *gojsonschema.NumberAnyOfError, *gojsonschema.NumberAllOfError:
			vague = append(vague, l.problem(path, "%s", text))
		default:
			problems = append(problems, l.problem(path, "%s", text))
		}
	}
	if len(problems) == 0 {
		return vague // "must validate one and only one schema" says little, but not nothing
	}
	return problems
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
