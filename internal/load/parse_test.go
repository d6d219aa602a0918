package load

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSmoke_readsTheGrammar(t *testing.T) {
	for line, want := range map[string]Smoke{
		"GET /readyz => 200":                  {Method: "GET", Path: "/readyz", Status: 200},
		"  POST   /a?b=c%20d => 404 ":         {Method: "POST", Path: "/a?b=c%20d", Status: 404},
		`GET / => 200 contains "a \"cup\" ü"`: {Method: "GET", Path: "/", Status: 200, Contains: `a "cup" ü`},
		"GET /orders => 200 json .orders == []": {
			Method: "GET", Path: "/orders", Status: 200, JSONPath: ".orders", JSONValue: "[]",
		},
		`GET / => 200 contains "json" json .a.b[0]["c d"] == 1.50`: {
			Method: "GET", Path: "/", Status: 200, Contains: "json", JSONPath: `.a.b[0]["c d"]`, JSONValue: "1.50",
		},
		"GET / => 200 json .status==ok":            {Method: "GET", Path: "/", Status: 200, JSONPath: ".status", JSONValue: `"ok"`},
		"GET / => 200 json .at == null":            {Method: "GET", Path: "/", Status: 200, JSONPath: ".at", JSONValue: "null"},
		`GET / => 200 json . == {"a": [1, "b c"]}`: {Method: "GET", Path: "/", Status: 200, JSONPath: ".", JSONValue: `{"a": [1, "b c"]}`},
		"GET / => 200 json .[-1] == v1.2.3":        {Method: "GET", Path: "/", Status: 200, JSONPath: ".[-1]", JSONValue: `"v1.2.3"`},
	} {
		got, err := ParseSmoke(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		want.Text = strings.TrimSpace(line)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

func TestParseSmoke_saysWhereAndWhatWasExpected(t *testing.T) {
	for line, want := range map[string]string{
		"":                                     "column 1: expected a method",
		"get / => 200":                         "column 1: expected a method",
		"GET":                                  "column 4: expected a path",
		"GET orders => 200":                    "column 5: expected a path",
		"GET https://example.com/ => 200":      "column 5: expected a path",
		"GET //example.com/ => 200":            "column 5: expected a path",
		"GET /a/../../b => 200":                "column 5: expected a path",
		"GET /a/%2e%2e/b => 200":               "column 5: expected a path",
		"GET /a#b => 200":                      "column 5: expected a path",
		"GET / 200":                            "column 7: expected =>",
		"GET / => ok":                          "column 10: expected a status",
		"GET / => 99":                          "column 10: expected a status",
		"GET / => 600":                         "column 10: expected a status",
		"GET / => 200 has x":                   "column 14: expected contains, json or the end",
		"GET / => 200 contains x":              `column 23: expected a "text"`,
		`GET / => 200 contains ""`:             `column 23: expected a "text"`,
		`GET / => 200 contains "x`:             `column 23: expected a "text"`,
		`GET / => 200 contains "x"json . == 1`: "column 26: expected a space",
		`GET / => 200 contains "x" and`:        "column 27: expected json or the end",
		"GET / => 200 json a == 1":             "column 19: expected a path that begins with a dot",
		"GET / => 200 json .a[x] == 1":         "column 21: expected [an index]",
		`GET / => 200 json .["a] == 1`:         "column 20: expected [\"a key\"]",
		"GET / => 200 json .a. == 1":           "expected a key",
		"GET / => 200 json .a = 1":             "column 22: expected ==",
		"GET / => 200 json .a ==":              "column 24: expected a JSON value",
		"GET / => 200 json .a == two words":    "column 25: expected a JSON value",
		`GET / => 200 json .a == "x`:           "column 25: expected a JSON value",
		"GET / => 200\n":                       "control characters",
		"GET /\xff => 200":                     "expected UTF-8",
		"GET /" + strings.Repeat("a", 5000):    "expected at most",
	} {
		_, err := ParseSmoke(line)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", line, err, want)
		}
	}
	if _, err := ParseSmoke(example); err != nil {
		t.Errorf("the example does not parse: %v", err)
	}
}

func FuzzParseSmoke(f *testing.F) {
	f.Add(example)
	f.Add(`PUT /%41?x => 201 json .a["\u0041"][-3].b == 1e5`)
	f.Fuzz(func(t *testing.T, line string) {
		s, err := ParseSmoke(line)
		if err != nil {
			return
		}
		if s.JSONPath == "" {
			return
		}
		if _, rest, err := parsePath(s.JSONPath); err != nil || rest != "" {
			t.Errorf("%q: path %q does not parse again: %v, %q", line, s.JSONPath, err, rest)
		}
		if value, err := decode([]byte(s.JSONValue)); err != nil || !equalJSON(value, s.JSONValue) {
			t.Errorf("%q: value %q is not itself: %v", line, s.JSONValue, err)
		}
	})
}

func TestLookUp_followsThePath(t *testing.T) {
	const body = `{"a":{"b":[{"c d":1},2,"x"]},"n":null,"big":12345678901234567890,"":"empty"}`
	for path, want := range map[string]string{
		".a.b[0][\"c d\"]": "1.0",
		".a.b[-1]":         `"x"`,
		".a[\"b\"].[1]":    "2e0",
		".n":               "null",
		".big":             "12345678901234567890",
		`.[""]`:            `"empty"`,
		".a.b[0]":          `{"c d":1}`,
	} {
		got, err := lookUp([]byte(body), path)
		if err != nil || !equalJSON(got, want) {
			t.Errorf("%s: got %v, %v; want %s", path, got, err, want)
		}
	}
	for path, want := range map[string]string{
		".x":         "there is no .x",
		".a.b[3]":    ".a.b holds 3 items, there is no 3",
		".a.b[-4]":   "there is no -4",
		".a.b.c":     ".a.b is a list, no object",
		".a[0]":      ".a is an object, no list",
		".n.x":       ".n is null, no object",
		".a.b[1].x":  ".a.b[1] is a number",
		".a.b[2][0]": ".a.b[2] is a string",
	} {
		if got, err := lookUp([]byte(body), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", path, got, err, want)
		}
	}
	for _, broken := range []string{"", "{", "{} {}", "<html>"} {
		if _, err := lookUp([]byte(broken), "."); err == nil {
			t.Errorf("%q: taken for JSON", broken)
		}
	}
}

func TestEqualJSON_comparesValues(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{"1", "1.0", true},
		{"100", "1e2", true},
		{"0.1", "0.10", true},
		{"12345678901234567890", "12345678901234567891", false},
		{"1", `"1"`, false},
		{"true", `"true"`, false},
		{`{"a":1,"b":[1,2]}`, `{"b":[1.0,2],"a":1}`, true},
		{"[1,2]", "[2,1]", false},
		{"null", "0", false},
		{"1e999999999", "2", false},
	} {
		a, err := decode([]byte(c.a))
		if err != nil {
			t.Fatal(err)
		}
		if equalJSON(a, c.b) != c.equal {
			t.Errorf("%s and %s: want equal to be %v", c.a, c.b, c.equal)
		}
	}
}
