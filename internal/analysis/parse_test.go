package analysis

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse_readsTheGrammar(t *testing.T) {
	for line, want := range map[string]Check{
		"error-rate < 1%":      {Metric: ErrorRate, Operator: Less, Value: 0.01},
		"  error-rate<=0.5%\t": {Metric: ErrorRate, Operator: AtMost, Value: 0.005},
		"error-rate <= 0%":     {Metric: ErrorRate, Operator: AtMost},
		"p50 < 250ms":          {Metric: P50, Operator: Less, Value: 0.25},
		"p90 < 1.5s":           {Metric: P90, Operator: Less, Value: 1.5},
		"p95 <= 800us":         {Metric: P95, Operator: AtMost, Value: 0.0008},
		"p99 <= 800 µs":        {Metric: P99, Operator: AtMost, Value: 0.0008},
		"max < 2 s":            {Metric: Max, Operator: Less, Value: 2},
		"rate > 100/s":         {Metric: Rate, Operator: More, Value: 100},
		"rate >= 99.5/s":       {Metric: Rate, Operator: AtLeast, Value: 99.5},
		"restarts < 1":         {Metric: Restarts, Operator: Less, Value: 1},
		`query("up") >= 1`:     {Metric: Query, Operator: AtLeast, Value: 1, Query: "up"},
		`query("up") worse-than baseline by -2e3`: {Metric: Query, Value: -2000, Query: "up", Baseline: true},
		`query("up") worse-than baseline by 20%`:  {Metric: Query, Value: 0.2, Query: "up", Baseline: true, Relative: true},
		`query( "a{b=\"c\\d\"}" )<-1.5e-3`: {
			Metric: Query, Operator: Less, Value: -0.0015, Query: `a{b="c\d"}`,
		},
		`query("rate(x{v=~\"{{version}}\"}[{{window}}]) < 1") > 0`: {
			Metric: Query, Operator: More, Query: `rate(x{v=~"{{version}}"}[{{window}}]) < 1`,
		},
		"error-rate worse-than baseline by 1%": {Metric: ErrorRate, Value: 0.01, Baseline: true},
		"p99  worse-than  baseline by 50ms":    {Metric: P99, Value: 0.05, Baseline: true},
		"p95 worse-than baseline by 20%":       {Metric: P95, Value: 0.2, Baseline: true, Relative: true},
		"rate worse-than baseline by 10%":      {Metric: Rate, Value: 0.1, Baseline: true, Relative: true},
		"rate worse-than baseline by 10/s":     {Metric: Rate, Value: 10, Baseline: true},
		"restarts worse-than baseline by 2":    {Metric: Restarts, Value: 2, Baseline: true},
	} {
		got, err := Parse(line)
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

func TestParse_saysWhereAndWhatWasExpected(t *testing.T) {
	for line, want := range map[string]struct {
		column int
		text   string
	}{
		"":                                       {1, "expected a metric"},
		"errors < 1%":                            {1, `found "errors < 1%"`},
		"p9 < 1ms":                               {1, "expected a metric"},
		"p95":                                    {4, "expected <, <=, >, >= or worse-than"},
		"p95 = 3ms":                              {5, "expected <, <=, >, >= or worse-than"},
		"p95 < 250":                              {7, "a duration like 250ms or 1.5s"},
		"p95 < 250 ms please":                    {7, "a duration"},
		"p95 < 1m":                               {7, "a duration"},
		"p95 < 0x1s":                             {7, "a duration"},
		"p95 < 1e3ms":                            {7, "a duration"},
		"p95 < -1ms":                             {7, "a duration"},
		"p95 < 20%":                              {7, "a duration"},
		"p95 < 90000s":                           {7, "a duration"},
		"error-rate < 1":                         {14, "a share from 0% to 100%"},
		"error-rate < 101%":                      {14, "a share"},
		"error-rate < NaN%":                      {14, "a share"},
		"error-rate < %":                         {14, "a share"},
		"rate > 100":                             {8, "like 100/s"},
		"restarts < 1.5":                         {12, "a whole number"},
		"restarts < one":                         {12, "a whole number"},
		"query < 1":                              {7, `("`},
		`query("") < 1`:                          {8, "PromQL between the quotes"},
		`query("up < 1`:                          {14, `the closing "`},
		`query("a\n") < 1`:                       {9, `\" or \\`},
		`query("up" < 1`:                         {12, "expected )"},
		`query("up") < Inf`:                      {15, "a number"},
		`query("up") < 1 2`:                      {15, "a number"},
		`query("up") worse-than baseline by 1ms`: {36, "a number or a share of the baseline's like 20%"},
		"p95 worse-than":                         {15, "expected baseline"},
		"p95 worse-than the baseline by 2%":      {16, "expected baseline"},
		"p95 worse-than baseline 2%":             {25, "expected by"},
		"p95 worse-than baseline by 2":           {28, "a share of the baseline's like 20%"},
		"error-rate worse-than baseline by 20ms": {35, "a share from 0% to 100%"},
		"größe < 1":                              {1, "expected a metric"},
	} {
		_, err := Parse(line)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: got %v, want a syntax error", line, err)
			continue
		}
		if syntax.Column != want.column || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: got %q, want column %d and %q", line, err, want.column, want.text)
		}
		if _, err := Parse(syntax.Like); err != nil {
			t.Errorf("%s: the example does not parse: %v", line, err)
		}
	}
}

func TestParse_refusesWhatIsNoLine(t *testing.T) {
	for _, line := range []string{"p95 < \xff", `query("` + strings.Repeat("x", 5000) + `") < 1`, "query(\"a\nb\") < 1"} {
		if _, err := Parse(line); err == nil {
			t.Errorf("%.20q: no error", line)
		}
	}
}

func TestString_isCanonical(t *testing.T) {
	for line, want := range map[string]string{
		"error-rate<1.10%":               "error-rate < 1.1%",
		"p95  <=  0.25s":                 "p95 <= 250ms",
		"p95 < 1500ms":                   "p95 < 1.5s",
		"p50<7us":                        "p50 < 0.007ms",
		"rate>=100/s":                    "rate >= 100/s",
		"restarts<1":                     "restarts < 1",
		`query("a\"b\\") > 1e-3`:         `query("a\"b\\") > 0.001`,
		"p99 worse-than baseline by 20%": "p99 worse-than baseline by 20%",
	} {
		c, err := Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if c.String() != want {
			t.Errorf("%s: got %s, want %s", line, c, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"error-rate < 1.1%", "p99 <= 0.7ms", "max worse-than baseline by 33.3%", `query("a{b=\"\\\"}") > -1e300`,
		"rate worse-than baseline by 3/s", "restarts < 3",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := Parse(line)
		if err != nil {
			return
		}
		again, err := Parse(c.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", line, c, err)
		}
		c.Text, again.Text = "", ""
		if c != again {
			t.Fatalf("%q became %+v, then %+v", line, c, again)
		}
	})
}
