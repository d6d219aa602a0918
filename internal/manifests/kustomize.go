package manifests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

func (l *loader) kustomization(dir string) (file string, ok bool) {
	for _, name := range kustomizationNames {
		file := path.Join(dir, name)
		if info, err := l.root.Stat(file); err == nil && !info.IsDir() {
			return file, true
		}
	}
	return "", false
}

// kustomize builds a folder as `kubectl apply -k` does, without plugins, Helm
// and the network.
func (l *loader) kustomize(dir string) (err error) {
	if fresh, err := l.begin(dir); !fresh {
		return err
	}
	file, _ := l.kustomization(dir)
	tree := &confined{root: l.root}
	// A hostile kustomization is not to end the process.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: kustomize broke off: %v", file, r)
		}
	}()
	// The default options have no plugins, and files only from the folder
	// that names them; bases may lie anywhere below the root.
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(tree, "/"+dir)
	if tree.refused != nil {
		return tree.refused
	}
	if err != nil {
		return fmt.Errorf("%s: %s", file, oneLine(err.Error()))
	}
	objs := make([]Object, 0, built.Size())
	for _, r := range built.Resources() {
		raw, err := r.MarshalJSON()
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		o := Object{Unstructured: &unstructured.Unstructured{}, File: file}
		if err := utiljson.Unmarshal(raw, &o.Object); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if origin, ok := tree.origin(r.OrgId().Kind, r.OrgId().Name); ok {
			o.File, o.Line = origin.File, origin.Line
		}
		if err := check(o); err != nil {
			return err
		}
		objs = append(objs, o)
	}
	return l.add(objs)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// confined is the file system that kustomize sees: what lies below root, with
// root as "/", and nothing that would lead to the network. Kustomize fetches
// whatever looks remote, so what it is given to read is looked through first.
type confined struct {
	root    *os.Root
	refused error // the first refusal, in our own words
	read    []Object
}

var _ filesys.FileSystem = (*confined)(nil)

var errReadOnly = errors.New("manifests are only read")

// origin is where an object was written before it was customized.
func (c *confined) origin(kind, name string) (Object, bool) {
	for _, o := range c.read {
		if o.GetKind() == kind && o.GetName() == name {
			return o, true
		}
	}
	return Object{}, false
}

func inside(p string) string {
	p = path.Clean("/" + filepath.ToSlash(p))
	if p == "/" {
		return "."
	}
	return p[1:]
}

// ReadFile gives a file after looking through it.
func (c *confined) ReadFile(p string) ([]byte, error) {
	p = inside(p)
	content, err := read(c.root, p)
	if err == nil {
		err = c.inspect(p, content)
	}
	if err != nil {
		if c.refused == nil && !errors.Is(err, fs.ErrNotExist) {
			c.refused = err
		}
		return nil, err
	}
	return content, nil
}

// IsDir says whether p is a folder.
func (c *confined) IsDir(p string) bool {
	info, err := c.root.Stat(inside(p))
	return err == nil && info.IsDir()
}

// Exists says whether p is there.
func (c *confined) Exists(p string) bool {
	_, err := c.root.Stat(inside(p))
	return err == nil
}

// CleanedAbs tells folder and file name apart.
func (c *confined) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	info, err := c.root.Stat(inside(p))
	if err != nil {
		err = outside(inside(p), err)
		if !errors.Is(err, fs.ErrNotExist) && c.refused == nil {
			c.refused = err
		}
		return "", "", err
	}
	whole := path.Clean("/" + inside(p))
	if info.IsDir() {
		return filesys.ConfirmedDir(whole), "", nil
	}
	return filesys.ConfirmedDir(path.Dir(whole)), path.Base(whole), nil
}

// ReadDir lists names.
func (c *confined) ReadDir(p string) ([]string, error) {
	entries, err := fs.ReadDir(c.root.FS(), inside(p))
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// Glob matches below root.
func (c *confined) Glob(pattern string) ([]string, error) {
	return fs.Glob(c.root.FS(), inside(pattern))
}

// The rest is for writing, which building does not.

func (c *confined) Create(string) (filesys.File, error)      { return nil, errReadOnly }
func (c *confined) Open(string) (filesys.File, error)        { return nil, errReadOnly }
func (c *confined) Mkdir(string) error                       { return errReadOnly }
func (c *confined) MkdirAll(string) error                    { return errReadOnly }
func (c *confined) RemoveAll(string) error                   { return errReadOnly }
func (c *confined) WriteFile(string, []byte) error           { return errReadOnly }
func (c *confined) Walk(_ string, _ filepath.WalkFunc) error { return errReadOnly }

// inspect refuses aliases that multiply, and references that leave root.
func (c *confined) inspect(file string, content []byte) error {
	configuration := isKustomization(file)
	if !configuration && !manifest(file) {
		return nil
	}
	decoder := yamlv3.NewDecoder(bytes.NewReader(content))
	for {
		var node yamlv3.Node
		if err := decoder.Decode(&node); err != nil {
			break // the end, or kustomize says it better
		}
		if _, ok := expanded(&node, maxNodes, 0); !ok {
			return fmt.Errorf("%s:%d: its aliases grow beyond measure", file, node.Line)
		}
		if configuration || apiVersion(&node) == "builtin" {
			if err := local(file, &node, ""); err != nil {
				return err
			}
		}
	}
	if !configuration {
		if objs, err := Decode(file, content); err == nil {
			c.read = append(c.read, objs...)
		}
	}
	return nil
}

func isKustomization(file string) bool {
	for _, name := range kustomizationNames {
		if path.Base(file) == name {
			return true
		}
	}
	return false
}

// apiVersion is "builtin" in the configuration of kustomize's own generators
// and transformers, which name files too.
func apiVersion(node *yamlv3.Node) string {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
	}
	if err := node.Decode(&head); err != nil {
		return ""
	}
	return head.APIVersion
}

const (
	maxNodes = 2_000_000 // after aliases are replaced by what they stand for
	maxDepth = 1_000
)

// expanded counts nodes with their aliases replaced, and stops at the limit.
func expanded(node *yamlv3.Node, left, depth int) (int, bool) {
	left--
	if left < 0 || depth > maxDepth {
		return left, false
	}
	if node.Kind == yamlv3.AliasNode {
		return expanded(node.Alias, left, depth+1)
	}
	var ok bool
	for _, child := range node.Content {
		if left, ok = expanded(child, left, depth+1); !ok {
			return left, false
		}
	}
	return left, true
}

// remote is what kustomize would fetch: a URL, user@host, a host of its own
// list.
var remote = regexp.MustCompile(`(?i)^\s*([a-z][a-z0-9+.-]*:|[a-z][a-z0-9-]*@|github\.com[/:])`)

// references are the fields of kustomizations, generators and transformers
// whose values name files or folders, in lower case: kustomize's decoder takes
// any.
var references = map[string]bool{
	"resources": true, "bases": true, "components": true, "crds": true, "configurations": true,
	"generators": true, "transformers": true, "validators": true, "patchesstrategicmerge": true,
	"path": true, "paths": true, "files": true, "envs": true, "env": true,
}

// local refuses references to the network and out of root. Text of several
// lines in their place is configuration written in place.
func local(file string, node *yamlv3.Node, field string) error {
	switch node.Kind {
	case yamlv3.DocumentNode, yamlv3.SequenceNode:
		for _, child := range node.Content {
			if err := local(file, child, field); err != nil {
				return err
			}
		}
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if err := local(file, node.Content[i+1], strings.ToLower(node.Content[i].Value)); err != nil {
				return err
			}
		}
	case yamlv3.AliasNode:
		return local(file, node.Alias, field)
	case yamlv3.ScalarNode:
		configuration, err := inPlace(file, node)
		if err == nil && !configuration && references[field] {
			return localPath(file, node, field)
		}
		return err
	}
	return nil
}

// inPlace looks through configuration that is written as text where a file
// could be named, and says whether it is some.
func inPlace(file string, node *yamlv3.Node) (found bool, err error) {
	if !strings.Contains(node.Value, "\n") && !strings.HasPrefix(strings.TrimSpace(node.Value), "{") {
		return false, nil
	}
	decoder := yamlv3.NewDecoder(strings.NewReader(node.Value))
	for {
		var inner yamlv3.Node
		if err := decoder.Decode(&inner); err != nil {
			return found, nil //nolint:nilerr // the end, or not YAML: kustomize says it better
		}
		if _, ok := expanded(&inner, maxNodes, 0); !ok {
			return false, fmt.Errorf("%s:%d: its aliases grow beyond measure", file, node.Line)
		}
		if apiVersion(&inner) != "" {
			found = true
			if err := local(file, &inner, ""); err != nil {
				return false, err
			}
		}
	}
}

func localPath(file string, node *yamlv3.Node, field string) error {
	value := strings.TrimSpace(node.Value)
	if field == "files" {
		if _, source, named := strings.Cut(value, "="); named {
			value = source
		}
	}
	if field == "path" && strings.HasPrefix(value, "/") {
		return nil // of a JSON patch
	}
	if remote.MatchString(value) {
		return fmt.Errorf("%s:%d: %q would come from the network: a release is made of files in the repository; vendor it", file, node.Line, value)
	}
	if p := path.Join(path.Dir(file), value); p == ".." || strings.HasPrefix(p, "../") {
		return fmt.Errorf("%s:%d: %q leads out of the workspace", file, node.Line, value)
	}
	return nil
}
