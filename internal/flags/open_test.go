package flags

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// targeting is the rule of new-checkout, compact.
func targeting(t *testing.T, f *File) string {
	t.Helper()
	definition, _ := f.flags["new-checkout"].(map[string]any)
	raw, err := json.Marshal(definition["targeting"])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestOpen_changesTheShareAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before  string
		percent int
		want    string
	}{
		"a flag without rules":  {``, 5, `{"fractional":[["on",5],["off",95]]}`},
		"rules that are empty":  {`, "targeting": {}`, 5, `{"fractional":[["on",5],["off",95]]}`},
		"buckets are replaced":  {`, "targeting": {"fractional": [["off", 90], ["on", 10]]}`, 25, `{"fractional":[["on",25],["off",75]]}`},
		"closed":                {`, "targeting": {"fractional": [["off", 90], ["on", 10]]}`, 0, `{"fractional":[["on",0],["off",100]]}`},
		"open to all":           {``, 100, `{"if":[true,"on",{"fractional":[["on",100],["off",0]]}]}`},
		"a step back from all":  {`, "targeting": {"if": [true, "on", {"fractional": [["on", 100], ["off", 0]]}]}`, 5, `{"fractional":[["on",5],["off",95]]}`},
		"what it buckets by":    {`, "targeting": {"fractional": [{"var": "tenant"}, ["off", 1], ["on", 1]]}`, 25, `{"fractional":[{"var":"tenant"},["on",25],["off",75]]}`},
		"among other rules":     {`, "targeting": {"if": [{"==": [{"var": "plan"}, "free"]}, {"fractional": [["off"], ["on"]]}, "off"]}`, 25, `{"if":[{"==":[{"var":"plan"},"free"]},{"fractional":[["on",25],["off",75]]},"off"]}`},
		"all, among others":     {`, "targeting": {"if": [{"==": [{"var": "plan"}, "free"]}, {"fractional": [["off"], ["on"]]}, "off"]}`, 100, `{"if":[{"==":[{"var":"plan"},"free"]},{"if":[true,"on",{"fractional":[["on",100],["off",0]]}]},"off"]}`},
		"an if that is not our": {`, "targeting": {"if": [true, "off", {"fractional": [["off"], ["on"]]}, "off"]}`, 5, `{"if":[true,"off",{"fractional":[["on",5],["off",95]]},"off"]}`},
	} {
		f := parse(t, text(c.before))
		was := f.JSON()
		opened, err := f.Open("new-checkout", "on", c.percent)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := targeting(t, opened); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if f.JSON() != was {
			t.Errorf("%s: the file itself changed", name)
		}
		if again := parse(t, opened.JSON()); again.JSON() != opened.JSON() {
			t.Errorf("%s: what was opened is not taken", name)
		}
		if back := opened.With("new-checkout", f); back.JSON() != was {
			t.Errorf("%s: the way back leads to\n%s", name, back.JSON())
		}
	}
}

func TestOpen_refusesWhatItCannotSay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content, flag, variant string
		percent                int
		say                    string
	}{
		"no such flag":    {text(""), "checkout", "on", 5, `there is no flag "checkout": the file has new-checkout`},
		"no such variant": {text(""), "new-checkout", "yes", 5, `no variant "yes": it has off, on`},
		"disabled":        {strings.Replace(text(""), "ENABLED", "DISABLED", 1), "new-checkout", "on", 5, "only an ENABLED flag"},
		"no default": {strings.Replace(text(""), `"off"
`, `null`, 1), "new-checkout", "on", 5, "no defaultVariant"},
		"the default itself":   {text(""), "new-checkout", "off", 5, "everyone has it"},
		"more than all":        {text(""), "new-checkout", "on", 101, "no share"},
		"less than none":       {text(""), "new-checkout", "on", -1, "no share"},
		"rules without shares": {text(`, "targeting": {"if": [{"var": "beta"}, "on", "off"]}`), "new-checkout", "on", 5, `{"fractional": [["on", 0], ["off", 100]]}`},
		"two shares":           {text(`, "targeting": {"if": [{"var": "beta"}, {"fractional": [["on"], ["off"]]}, {"fractional": [["on"], ["off"]]}]}`), "new-checkout", "on", 5, "2 fractional rules"},
	} {
		_, err := parse(t, c.content).Open(c.flag, c.variant, c.percent)
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %q", name, err, c.say)
		}
	}
}

func TestParseRamp_takesRisingShares(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line          string
		flag, variant string
		steps         []int // nil: an error
	}{
		{"new-checkout: 5%, 25%, 100%", "new-checkout", "", []int{5, 25, 100}},
		{"payment=fast:50%", "payment", "fast", []int{50}},
		{" a:b = c : 1% ", "a:b", "c", []int{1}},
		{"new-checkout", "", "", nil},
		{": 5%", "", "", nil},
		{"a=: 5%", "", "", nil},
		{"a:", "", "", nil},
		{"a: 5", "", "", nil},
		{"a: 0%", "", "", nil},
		{"a: 101%", "", "", nil},
		{"a: -5%", "", "", nil},
		{"a: 5%, 5%", "", "", nil},
		{"a: 25%, 5%", "", "", nil},
		{"a: 5%,", "", "", nil},
		{"a: five%", "", "", nil},
		{"a: 99999999999999999999%", "", "", nil},
	} {
		got, err := ParseRamp(c.line)
		if (err != nil) != (c.steps == nil) || err == nil && (got.Flag != c.flag || got.Variant != c.variant || !slices.Equal(got.Steps, c.steps)) {
			t.Errorf("%q: %+v, %v; want %+v", c.line, got, err, c)
		}
	}
}

func TestIn_findsTheVariantThatIsTrue(t *testing.T) {
	t.Parallel()
	const words = `{"flags": {"payment": {"state": "ENABLED", "variants": {"house": "h", "fast": "f"}, "defaultVariant": "house"}}}`
	ramp := func(line string) Ramp {
		r, err := ParseRamp(line)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r, err := ramp("new-checkout: 5%").In(parse(t, text(""))); err != nil || r.String() != "new-checkout=on: 5%" {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := ramp("payment=fast: 5%, 100%").In(parse(t, words)); err != nil || r.Above(5).String() != "payment=fast: 100%" {
		t.Errorf("%v, %v", r, err)
	}
	for line, say := range map[string]string{
		"payment: 5%":       "name the variant to open, payment=<variant>",
		"payment=slow: 5%":  `no variant "slow"`,
		"checkout: 5%":      `there is no flag "checkout"`,
		"payment=house: 5%": "everyone has it",
	} {
		if _, err := ramp(line).In(parse(t, words)); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v, want %q", line, err, say)
		}
	}
}

// FuzzParse: what is taken can be opened, closed and read again, or it is said
// why not; nothing panics.
func FuzzParse(f *testing.F) {
	f.Add([]byte(text("")), 5)
	f.Add([]byte(text(`, "targeting": {"if": [{"var": "x"}, {"fractional": [{"var": "y"}, ["on", 1], ["off", 2]]}, null]}`)), 100)
	f.Add([]byte("flags:\n  a: {state: ENABLED, variants: {x: 1, y: 2.5}, defaultVariant: x}\n"), 0)
	f.Add([]byte(`{"flags": {"a": {"state": "DISABLED"}}, "$evaluators": {"e": {"fractional": [["a"], ["b"]]}}}`), 1)
	f.Fuzz(func(t *testing.T, content []byte, percent int) {
		file, err := Parse("f", content)
		if err != nil {
			return
		}
		again, err := Parse("f", []byte(file.JSON()))
		if err != nil || again.JSON() != file.JSON() {
			t.Fatalf("read again: %v\n%s", err, file.JSON())
		}
		for _, flag := range file.Names() {
			definition, _ := file.flags[flag].(map[string]any)
			variants, _ := definition["variants"].(map[string]any)
			for variant := range variants {
				opened, err := file.Open(flag, variant, percent)
				if err != nil {
					continue
				}
				if _, err := Read(opened.JSON()); err != nil {
					t.Fatalf("%s=%s opened to %d%%: %v\n%s", flag, variant, percent, err, opened.JSON())
				}
				closed, err := opened.Open(flag, variant, 0)
				if err != nil {
					t.Fatalf("%s=%s cannot be closed again: %v\n%s", flag, variant, err, opened.JSON())
				}
				if direct, err := file.Open(flag, variant, 0); err != nil || direct.JSON() != closed.JSON() {
					t.Fatalf("closed by way of %d%% it is another file: %v\n%s\n%s", percent, err, closed.JSON(), direct.JSON())
				}
			}
		}
	})
}
