package manifests

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree writes files, by path, into a fresh folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func object(kind, name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: %s\nmetadata:\n  name: %s\n", kind, name)
}

func places(objs []Object) string {
	var all []string
	for _, o := range objs {
		all = append(all, o.GetName()+"@"+o.Place())
	}
	return strings.Join(all, " ")
}

func TestLoad_readsFilesFoldersAndGlobs(t *testing.T) {
	root := tree(t, map[string]string{
		"a.yaml":           "# comment\n\n---\n" + object("ConfigMap", "a1") + "---\n# nothing\n---\n" + object("ConfigMap", "a2") + "...\n",
		"b.json":           `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}`,
		"c.yml":            "\xef\xbb\xbf" + strings.ReplaceAll(object("ConfigMap", "c1")+"---\n"+object("ConfigMap", "c2"), "\n", "\r\n"),
		"list.yaml":        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: l1}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: l2}\n",
		"deep/x/y/d.yaml":  object("ConfigMap", "d"),
		"deep/x/e.yaml":    object("ConfigMap", "e"),
		"deep/.git/h.yaml": "not: one",
		"deep/README.md":   "# not a manifest",
		"tabs.json":        "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"tabs\"}\n}\n",
		"marker.yaml":      "--- # first\n" + object("ConfigMap", "m1") + "--- {apiVersion: v1, kind: ConfigMap, metadata: {name: m2}}\n",
		"block.yaml":       object("ConfigMap", "k") + "data:\n  text: |\n    ---\n    not a document\n",
	})
	for _, test := range []struct {
		paths []string
		want  string
	}{
		{[]string{"a.yaml"}, "a1@a.yaml:4 a2@a.yaml:11"},
		{[]string{"b.json", "a.yaml"}, "b@b.json:1 a1@a.yaml:4 a2@a.yaml:11"},
		{[]string{"c.yml"}, "c1@c.yml:1 c2@c.yml:6"},
		{[]string{"list.yaml"}, "l1@list.yaml:4 l2@list.yaml:7"},
		{[]string{"deep"}, "e@deep/x/e.yaml:1 d@deep/x/y/d.yaml:1"},
		{[]string{"deep/**/*.yaml"}, "e@deep/x/e.yaml:1 d@deep/x/y/d.yaml:1"},
		{[]string{"deep/*/e.yaml"}, "e@deep/x/e.yaml:1"},
		{[]string{"[ab].*"}, "a1@a.yaml:4 a2@a.yaml:11 b@b.json:1"},
		{[]string{"./b.json", "b.json", "deep/../b.json"}, "b@b.json:1"},
		{[]string{filepath.Join(root, "b.json")}, "b@b.json:1"},
		{[]string{"tabs.json"}, "tabs@tabs.json:1"},
		{[]string{"marker.yaml"}, "m1@marker.yaml:2 m2@marker.yaml:6"},
		{[]string{"block.yaml"}, "k@block.yaml:1"},
	} {
		objs, err := Load(t.Context(), root, test.paths)
		if err != nil {
			t.Errorf("%v: %v", test.paths, err)
		} else if got := places(objs); got != test.want {
			t.Errorf("%v: %s\nwant %s", test.paths, got, test.want)
		}
	}
}

func TestLoad_refusesWithFileAndLine(t *testing.T) {
	outside := tree(t, map[string]string{"secret.yaml": object("Secret", "stolen")})
	root := tree(t, map[string]string{
		"notyaml.yaml":   object("ConfigMap", "a") + "---\napiVersion: v1\nkind: [\n",
		"tab.yaml":       "apiVersion: v1\n\tkind: ConfigMap\n",
		"twice.yaml":     "apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata: {name: a}\n",
		"text.yaml":      "just text\n",
		"values.yaml":    "\n\nreplicas: 3\n",
		"noname.yaml":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n",
		"generate.yaml":  "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: job-}\n",
		"no.yaml":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: no}\n",
		"path.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../../x}\n",
		"label.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {version: 1.20}}\n",
		"dup/a.yaml":     object("ConfigMap", "a"),
		"dup/b.yaml":     object("Secret", "a") + "---\n" + object("ConfigMap", "a"),
		"large.yaml":     object("ConfigMap", "a") + "data: {a: " + strings.Repeat("x", 1_500_000) + "}\n",
		"zero.yaml":      "apiVersion: v1\x00",
		"bomb.yaml":      bomb(),
		"empty.yaml":     "# nothing\n---\n",
		"list.yaml":      "apiVersion: v1\nkind: List\nitems:\n- 3\n",
		"folder/ok.yaml": object("ConfigMap", "a"),
	})
	for link, to := range map[string]string{"out.yaml": filepath.Join(outside, "secret.yaml"), "linked/out.yaml": "../../x/secret.yaml", "dir": outside, "inner/dir": "../folder"} {
		file := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, file); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ path, want string }{
		{"notyaml.yaml", "notyaml.yaml:7: "},
		{"tab.yaml", "tab.yaml:2: "},
		{"twice.yaml", `twice.yaml:3: key "kind" already set`},
		{"text.yaml", "text.yaml:1: not an object"},
		{"values.yaml", "values.yaml:3: not a Kubernetes object"},
		{"noname.yaml", "noname.yaml:1: ConfigMap has no metadata.name"},
		{"generate.yaml", "generate.yaml:1: Job has generateName"},
		{"no.yaml", "no.yaml:1: ConfigMap: metadata.name is not text"},
		{"path.yaml", "path.yaml:1: ConfigMap: metadata.name"},
		{"label.yaml", "label.yaml:1: ConfigMap a: the value of metadata.labels.version is not text"},
		{"dup", "dup/b.yaml:6: ConfigMap a is already defined at dup/a.yaml:1"},
		{"large.yaml", "large.yaml:1: ConfigMap a has 1500"},
		{"zero.yaml", "zero.yaml: neither YAML nor JSON"},
		{"bomb.yaml", "bomb.yaml:"},
		{"empty.yaml", "empty.yaml: no object in there"},
		{"list.yaml", "list.yaml:4: item 1 of the list"},
		{"../x.yaml", "../x.yaml: outside of the workspace"},
		{"/etc/passwd", "/etc/passwd: outside of the workspace"},
		{"out.yaml", "out.yaml: a symbolic link leads out of the workspace"},
		{"linked", "linked/out.yaml: a symbolic link leads out of the workspace"},
		{"linked/*.yaml", "linked/out.yaml: a symbolic link leads out"},
		{"dir", "dir: a symbolic link leads out of the workspace"},
		{"nothing.yaml", "nothing.yaml: no such file"},
		{"*.toml", "*.toml: no file matches"},
		{"[", "[: syntax error in pattern"},
	} {
		t.Run(test.path, func(t *testing.T) {
			begun := time.Now()
			_, err := Load(t.Context(), root, []string{test.path})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %.300v, want %q", err, test.want)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestLoad_tellsEveryPathThatLeadsNowhereBeforeItReadsAny(t *testing.T) {
	root := tree(t, map[string]string{"a.yaml": "kind: ["})
	_, err := Load(t.Context(), root, []string{"a.yaml", "nothing.yaml", "../x.yaml", "*.toml"})
	astray, is := errors.AsType[*PathError](err)
	if !is {
		t.Fatalf("error %v", err)
	}
	for _, say := range []string{"nothing.yaml: no such file", "../x.yaml: outside", "*.toml: no file matches"} {
		if !strings.Contains(astray.Error(), say) {
			t.Errorf("error %q does not say %q", astray, say)
		}
	}
	if _, err := Load(t.Context(), root, []string{"a.yaml"}); err == nil || errors.As(err, &astray) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// bomb grows to 9^9 entries when its aliases are replaced.
func bomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na: &a [x,x,x,x,x,x,x,x,x]\n")
	for c := 'b'; c <= 'i'; c++ {
		fmt.Fprintf(&b, "%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	return b.String()
}

func TestLoad_takesTwoThousandObjects(t *testing.T) {
	var text strings.Builder
	for i := range 2000 {
		text.WriteString("---\n" + object("ConfigMap", fmt.Sprintf("c-%d", i)))
	}
	root := tree(t, map[string]string{"all.yaml": text.String()})
	begun := time.Now()
	objs, err := Load(t.Context(), root, []string{"."})
	if err != nil || len(objs) != 2000 {
		t.Fatalf("%d objects, %v", len(objs), err)
	}
	if last := objs[1999]; last.Place() != "all.yaml:9997" {
		t.Errorf("the last is at %s", last.Place())
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(object("ConfigMap", "a") + "---\n" + object("ConfigMap", "b")))
	f.Add([]byte(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"A","metadata":{"name":"b"}}]}`))
	f.Add([]byte("--- &a\n? *a\n: -\n...\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		objs, err := Decode("f.yaml", content)
		if err != nil && !strings.HasPrefix(err.Error(), "f.yaml") {
			t.Errorf("error without place: %v", err)
		}
		lines := strings.Count(string(content), "\n") + 1
		for _, o := range objs {
			if o.GetName() == "" || o.GetKind() == "" || o.GetAPIVersion() == "" || o.Line < 1 || o.Line > lines {
				t.Errorf("%s %q at line %d of %d", o.GetKind(), o.GetName(), o.Line, lines)
			}
			// What was decoded can be worked on.
			PodTemplate(o.Unstructured)
			Lint([]Object{o})
			Version([]Object{o})
		}
	})
}

func TestLoad_leavesOutMapsThatSayNothing(t *testing.T) {
	root := tree(t, map[string]string{
		"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {}\n  annotations: {}\ndata: {}\n",
	})
	objects, err := Load(t.Context(), root, []string{"a.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	metadata, _ := objects[0].Object["metadata"].(map[string]any)
	if len(metadata) != 1 {
		t.Errorf("metadata is %v, want its name alone: an empty map of labels or annotations is owned or not by chance", metadata)
	}
	if _, ok := objects[0].Object["data"]; !ok {
		t.Error("data, which is empty, is gone")
	}
}
