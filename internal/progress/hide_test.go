package progress

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestHide_findsAValueHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	hide := Hide([]string{`pl4nted "one" + two`, "first-line\nsecond-line\n", "postgres://orders:only-the-password@db/orders", "short", "true", ""})
	for text, want := range map[string]string{
		`says pl4nted "one" + two.`:                              "says ***.",
		fmt.Sprintf("exec %q: not found", `pl4nted "one" + two`): `exec "***": not found`,
		`GET /?a=pl4nted+%22one%22+%2B+two`:                      "GET /?a=***",
		`data: cGw0bnRlZCAib25lIiArIHR3bw== end`:                 "data: *** end",
		"second-line, then first-line":                           "***, then ***",
		`password "only-the-password" is wrong`:                  `password "***" is wrong`,
		`is cut: pl4nted "o… (3 times)`:                          "is cut: ***… (3 times)",
		"is cut: postgres://ord …":                               "is cut: *** …",
		"is cut: first-l":                                        "is cut: ***",
		"too little to tell: pl4n …":                             "too little to tell: pl4n …",
		"a true b, short":                                        "a true b, ***",
		"nothing to hide":                                        "nothing to hide",
	} {
		if got := hide(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := Hide(nil)("a…b"); got != "a…b" {
		t.Errorf("without values %q is shown", got)
	}
}

func TestHide_takesTheLongerOfTwoValues(t *testing.T) {
	t.Parallel()
	hide := Hide([]string{"s3cret-one", "s3cret-one-longer"})
	if got := hide("s3cret-one-longer s3cret-one s3cret-one-lon …"); got != "*** *** ***-lon …" {
		t.Errorf("got %q", got)
	}
}

func TestHiding_hidesInEveryLine(t *testing.T) {
	t.Parallel()
	var p paper
	log := Hiding(&p, Hide([]string{"s3cret"}))
	log.Group("about s3cret")()
	log.Linef("%d %s", 1, "s3cret")
	log.Annotate(Annotation{Message: "note s3cret"})
	out := log.Foreign()
	for _, part := range []string{"one s3c", "ret\ntwo s3cret\n"} {
		if _, err := io.WriteString(out, part); err != nil {
			t.Fatal(err)
		}
	}
	const want = "group about ***\nend\n1 ***\nnote note ***\none ***\ntwo ***\n"
	if p.String() != want {
		t.Errorf("got\n%s\nwant\n%s", p.String(), want)
	}
}

// FuzzHide holds Hide to what a secret is owed: it is in no text any more.
func FuzzHide(f *testing.F) {
	f.Add("s3cret-one", "a s3cret-one b")
	f.Fuzz(func(t *testing.T, secret, text string) {
		if len(secret) < shortestSecret || strings.TrimSpace(secret) != secret || strings.ContainsAny(secret, "\r\n*") {
			t.Skip()
		}
		hide := Hide([]string{secret})
		if got := hide(text + secret + text); strings.Contains(got, secret) {
			t.Errorf("%q shows %q", got, secret)
		}
	})
}
