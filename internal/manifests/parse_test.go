package manifests

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEnv_tellsEverythingWrongAndNoValue(t *testing.T) {
	t.Parallel()
	got, err := ParseEnv([]string{"LEVEL=debug", "EMPTY=", "URL=https://a/?b=c"})
	want := []Variable{{"LEVEL", "debug"}, {"EMPTY", ""}, {"URL", "https://a/?b=c"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v\n%s", err, diff)
	}
	_, err = ParseEnv([]string{"hunter2", "A=hunter2", "A=hunter2", "PORT=hunter2", "not a name=hunter2"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, say := range []string{"item 1: expected NAME=value", "A is there twice", "expected no PORT", "item 5: expected NAME=value"} {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("error %q does not say %q", err, say)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows a value: %s", err)
	}
	if got := EnvNames("A=hunter2\n\nhunter2\n b d=hunter2\nB="); got != "A=…, …, …, B=…" {
		t.Errorf("names %q", got)
	}
}

func TestParse_takesWhatWorksAndNothingElse(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		parse       func(string) error
		good, wrong []string
	}{
		"port":     {only(ParsePort), []string{"1", "3000", "65535"}, []string{"0", "65536", "-1", "http", "1.5", "80 80"}},
		"amount":   {only(ParseAmount), []string{"100m", "128Mi", "1", "0.5"}, []string{"lots", "-1Mi", "0", "1 Gi"}},
		"path":     {only(ParsePath), []string{"/", "/readyz", "/a?b=c"}, []string{"readyz", "http://a/b", "/a b", "/%zz", "*"}},
		"source":   {only(ParseSource), []string{"secret/db", "configmap/a.b"}, []string{"db", "secret/", "pod/db", "secret/DB", "secret/a/b"}},
		"gateway":  {only(ParseGateway), []string{"infra/public"}, []string{"public", "/public", "infra/", "a/b/c", "Infra/public"}},
		"host":     {only(ParseHost), []string{"orders.example.com", "*.example.com", "localhost"}, []string{"https://a.b", "a.b:80", "a.b/c", "A.b", "*"}},
		"the name": {only(ParseName), []string{"pull", "a.b-c"}, []string{"Pull", "a/b", "a_b"}},
	} {
		for _, text := range c.good {
			if err := c.parse(text); err != nil {
				t.Errorf("%s %q: %v", what, text, err)
			}
		}
		for _, text := range c.wrong {
			if err := c.parse(text); err == nil || !strings.Contains(err.Error(), "expected ") {
				t.Errorf("%s %q: error %v", what, text, err)
			}
		}
	}
}

func only[T any](parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		_, err := parse(text)
		return err
	}
}
