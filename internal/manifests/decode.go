package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// maxObject is what etcd takes in one request as it comes.
const maxObject = 1_500_000

// Decode reads the objects of one file, YAML of any number of documents or
// JSON. Lists are unrolled, empty documents are passed over. Errors begin with
// file:line.
func Decode(file string, content []byte) ([]Object, error) {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(content, 0) >= 0 {
		return nil, fmt.Errorf("%s: neither YAML nor JSON in UTF-8: it holds a zero byte", file)
	}
	var objs []Object
	for _, doc := range documents(content) {
		values, err := doc.values()
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, doc.errorLine(err), plain(err))
		}
		for _, value := range values {
			found, err := doc.objects(file, value)
			if err != nil {
				return nil, err
			}
			objs = append(objs, found...)
		}
	}
	return objs, nil
}

// document is one document of a file; line is that of its first byte.
type document struct {
	text []byte
	line int
}

// documents splits at the lines that YAML splits at. A line "---" within a
// value is always indented.
func documents(content []byte) []document {
	var docs []document
	current := document{line: 1}
	for n, line := range bytes.SplitAfter(content, []byte("\n")) {
		marker := bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("..."))
		if rest := line[min(3, len(line)):]; marker && len(bytes.TrimLeft(rest, " \t\r\n")) < len(rest)+boolInt(len(rest) == 0) {
			docs = append(docs, current)
			current = document{line: n + 1}
			if line[0] == '-' {
				// What follows on the marker's line belongs to the document.
				current.text = append(append(current.text, "   "...), rest...)
			}
			continue
		}
		current.text = append(current.text, line...)
	}
	return append(docs, current)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// values decodes a document: none where it is empty, several where JSON
// objects follow each other.
func (d document) values() ([]map[string]any, error) {
	text := bytes.TrimSpace(d.text)
	if len(text) > 0 && text[0] == '{' {
		if values, err := jsonValues(text); err == nil {
			return values, nil
		}
	}
	raw, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	return jsonValues(raw)
}

func jsonValues(text []byte) ([]map[string]any, error) {
	var values []map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return values, nil
		} else if err != nil {
			return nil, err
		}
		var value map[string]any
		if err := utiljson.Unmarshal(raw, &value); err != nil {
			return nil, errors.New("not an object: a manifest is a map with apiVersion, kind and metadata")
		}
		values = append(values, value)
	}
}

func (d document) objects(file string, value map[string]any) ([]Object, error) {
	o := Object{Unstructured: &unstructured.Unstructured{Object: value}, File: file, Line: d.begins()}
	items, list := value["items"].([]any)
	if !list || !strings.HasSuffix(o.GetKind(), "List") {
		if err := check(o); err != nil {
			return nil, err
		}
		return []Object{o}, nil
	}
	lines := d.itemLines()
	var objs []Object
	for i, item := range items {
		at := Object{File: file, Line: o.Line}
		if i < len(lines) {
			at.Line = lines[i]
		}
		fields, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: item %d of the list is not an object", at.Place(), i+1)
		}
		at.Unstructured = &unstructured.Unstructured{Object: fields}
		if err := check(at); err != nil {
			return nil, err
		}
		objs = append(objs, at)
	}
	return objs, nil
}

// begins is the line of the first key: comments come before it.
func (d document) begins() int {
	for n, line := range strings.Split(string(d.text), "\n") {
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' && text[0] != '%' {
			return d.line + n
		}
	}
	return d.line
}

func (d document) itemLines() []int {
	var node yamlv3.Node
	if err := yamlv3.Unmarshal(d.text, &node); err != nil || len(node.Content) == 0 {
		return nil
	}
	var lines []int
	top := node.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "items" {
			for _, item := range top.Content[i+1].Content {
				lines = append(lines, d.line+item.Line-1)
			}
		}
	}
	return lines
}

var lineWords = regexp.MustCompile(`line (\d+): ?`)

// errorLine is the line in the file that a decoder's error names.
func (d document) errorLine(err error) int {
	if m := lineWords.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return d.line + n - 1
		}
	}
	return d.begins()
}

// plain takes from a decoder's error what the place says already.
func plain(err error) error {
	words := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	words = strings.TrimPrefix(words, "yaml: ")
	words = lineWords.ReplaceAllString(strings.TrimPrefix(words, "unmarshal errors:\n  "), "")
	return errors.New(words)
}

// check refuses what could not be applied, while file and line are known.
func check(o Object) error {
	problem := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s", o.Place(), fmt.Sprintf(format, args...))
	}
	apiVersion, _ := o.Object["apiVersion"].(string)
	kind, _ := o.Object["kind"].(string)
	if apiVersion == "" || kind == "" {
		return problem("not a Kubernetes object: it has no apiVersion or no kind")
	}
	metadata, ok := o.Object["metadata"].(map[string]any)
	if !ok {
		return problem("%s has no metadata", kind)
	}
	name, text := metadata["name"].(string)
	if metadata["name"] != nil && !text {
		return problem("%s: metadata.name is not text: put it in quotes", kind)
	}
	if name == "" {
		if _, generated := metadata["generateName"]; generated {
			return problem("%s has generateName: a release is applied again and again, so its objects need a fixed metadata.name", kind)
		}
		return problem("%s has no metadata.name", kind)
	}
	if problems := content.IsPathSegmentName(name); len(problems) > 0 {
		return problem("%s: metadata.name %q %s", kind, name, strings.Join(problems, ", "))
	}
	if namespace, given := metadata["namespace"]; given {
		text, ok := namespace.(string)
		if namespace != nil && !ok {
			return problem("%s %s: metadata.namespace is not text: put it in quotes", kind, name)
		}
		if problems := content.IsPathSegmentName(text); len(problems) > 0 {
			return problem("%s %s: metadata.namespace %q %s", kind, name, text, strings.Join(problems, ", "))
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		entries, given := metadata[field]
		if !given || entries == nil {
			continue
		}
		texts, ok := entries.(map[string]any)
		if !ok {
			return problem("%s %s: metadata.%s is not a map", kind, name, field)
		}
		for key, value := range texts {
			if _, ok := value.(string); !ok {
				return problem("%s %s: the value of metadata.%s.%s is not text: put it in quotes", kind, name, field, key)
			}
		}
		// The server keeps the ownership of an empty map only where others have
		// written into it: what is restored would not be what was.
		if len(texts) == 0 {
			delete(metadata, field)
		}
	}
	raw, err := json.Marshal(o.Object)
	if err != nil {
		return problem("%s %s: %v", kind, name, err)
	}
	if len(raw) > maxObject {
		return problem("%s %s has %d bytes, which is more than a cluster stores in one object (1.5 MB): split it, or put large data into the image or a volume", kind, name, len(raw))
	}
	return nil
}
