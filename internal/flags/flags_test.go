package flags

import (
	"strings"
	"testing"
)

// text is a flag file with one flag; what is given is added to the flag.
func text(fields string) string {
	return `{"flags": {"new-checkout": {
  "state": "ENABLED",
  "variants": {"on": true, "off": false},
  "defaultVariant": "off"` + fields + `
}}}`
}

func parse(t testing.TB, content string) *File {
	t.Helper()
	f, err := Parse("flags.json", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse_takesWhatFlagdTakes(t *testing.T) {
	t.Parallel()
	const asYAML = "flags:\n  new-checkout:\n    state: ENABLED\n    variants: {\"on\": true, \"off\": false}\n    defaultVariant: \"off\"\n"
	if json, yaml := parse(t, text("")), parse(t, asYAML); json.JSON() != yaml.JSON() {
		t.Errorf("YAML gives\n%s\nJSON gives\n%s", yaml.JSON(), json.JSON())
	}
	with := parse(t, text(`, "targeting": {"if": [{"<": [{"var": "age"}, 18]}, "off", null]}, "metadata": {"n": 1.5, "big": 9007199254740993}`))
	for _, kept := range []string{`"<"`, `9007199254740993`, `1.5`} {
		if !strings.Contains(with.JSON(), kept) {
			t.Errorf("%s is lost in %s", kept, with.JSON())
		}
	}
	if again := parse(t, with.JSON()); again.JSON() != with.JSON() {
		t.Error("read again, it is another file")
	}
}

func TestParse_tellsWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		say     []string
	}{
		"nothing":                       {"", []string{"flags.json: not a flag file"}},
		"no object":                     {"[]", []string{"not a flag file"}},
		"neither JSON nor YAML":         {"{\"flags\": {", []string{"flags.json: neither JSON nor YAML", "line"}},
		"no flags":                      {`{"flags": {}}`, []string{"it holds no flag"}},
		"flags that are a list":         {`{"flags": []}`, []string{"flags.json:1: flags:", "object"}},
		"a state that is none":          {strings.Replace(text(""), "ENABLED", "OPEN", 1), []string{"flags.json:2: flags.new-checkout.state", "ENABLED"}},
		"no state":                      {`{"flags": {"x": {"variants": {"a": 1}, "defaultVariant": "a"}}}`, []string{"flags.x", "missing property 'state'"}},
		"variants of two types":         {strings.Replace(text(""), "false", `"no"`, 1), []string{"flags.json:3: flags.new-checkout.variants", "flags.json:3: flags.new-checkout.variants.off: got string, want boolean"}},
		"a default that is no variant":  {strings.Replace(text(""), `"defaultVariant": "off"`, `"defaultVariant": "of"`, 1), []string{"flags.json:4: flags.new-checkout.defaultVariant", `"of" is none of the variants`}},
		"an operator that there is not": {text(`, "targeting": {"fractionl": [["on", 5], ["off", 95]]}`), []string{"flags.json:4: flags.new-checkout.targeting: additional properties 'fractionl'"}},
		"a key that is there twice":     {`{"flags": {"a": {}, "a": {}}}`, []string{`key "a" is there twice`}},
		"a key twice, in YAML":          {"flags:\n  a: {}\n  a: {}\n", []string{"line 3", "already"}},
		"too deep":                      {text(`, "targeting": ` + strings.Repeat(`{"!": [`, 40) + "1" + strings.Repeat("]}", 40)), []string{"levels deep"}},
		"too large":                     {strings.Repeat(" ", MaxSize+1), []string{"ConfigMap holds"}},
	} {
		_, err := Parse("flags.json", []byte(c.content))
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, word := range c.say {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q is missing in %q", name, word, err)
			}
		}
	}
}

func TestDefinition_isThatOfTheFlagAlone(t *testing.T) {
	t.Parallel()
	const shared = `{"$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@acme.test"]}}, "flags": {
	"a": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": {"if": [{"$ref": "staff"}, "on", null]}},
	"b": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}`
	hash := func(content, flag string) string {
		h, ok := parse(t, content).Definition(flag)
		if !ok {
			t.Errorf("%s is not there", flag)
		}
		return h
	}
	other := strings.Replace(shared, "acme", "example", 1)
	if hash(shared, "a") == hash(other, "a") {
		t.Error("a's rule changed by its reference, and its definition did not")
	}
	if hash(shared, "b") != hash(other, "b") || hash(shared, "b") != hash(strings.ReplaceAll(shared, `"b"`, ` "b"`), "b") {
		t.Error("b did not change, and its definition did")
	}
	if _, ok := parse(t, shared).Definition("c"); ok {
		t.Error("c is not in the file")
	}
}
