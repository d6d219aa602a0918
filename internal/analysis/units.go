package analysis

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is how values of a metric are written.
type unit struct {
	suffixes     []suffix
	want         string // the value, for people
	like         string
	likeBaseline string // empty: no comparison
	relative     bool   // compared also by a share of the baseline's
}

// suffix is a unit as written. A number before it counts 10^exponent.
type suffix struct {
	text     string
	exponent int
	most     float64 // after scaling
	whole    bool
}

const day = 86400 // seconds

var (
	percent   = suffix{text: "%", exponent: -2, most: 100}
	anyNumber = suffix{most: math.MaxFloat64}

	millis       = suffix{text: "ms", exponent: -3, most: day}
	latencyUnits = []suffix{
		millis,
		{text: "us", exponent: -6, most: day},
		{text: "µs", exponent: -6, most: day},
		{text: "s", most: day},
	}
)

var units = map[Metric]unit{
	ErrorRate: {
		suffixes: []suffix{{text: "%", exponent: -2, most: 1}}, want: "a share from 0% to 100%",
		like: "error-rate < 1%", likeBaseline: "error-rate worse-than baseline by 1%",
	},
	P50: latencyUnit(P50), P90: latencyUnit(P90), P95: latencyUnit(P95), P99: latencyUnit(P99), Max: latencyUnit(Max),
	Rate: {
		suffixes: []suffix{{text: "/s", most: 1e9}}, want: "requests a second like 100/s",
		like: "rate > 100/s", likeBaseline: "rate worse-than baseline by 10%", relative: true,
	},
	Restarts: {
		suffixes: []suffix{{most: 1e6, whole: true}}, want: "a whole number",
		like: "restarts < 1", likeBaseline: "restarts worse-than baseline by 2",
	},
	Query: {
		suffixes: []suffix{anyNumber}, want: "a number",
		like:         `query("sum(rate(orders_failed_total[{{window}}]))") < 0.5`,
		likeBaseline: `query("…") worse-than baseline by 0.5`, relative: true,
	},
}

func latencyUnit(m Metric) unit {
	return unit{
		suffixes: latencyUnits, want: "a duration like 250ms or 1.5s",
		like: string(m) + " < 250ms", likeBaseline: string(m) + " worse-than baseline by 20%", relative: true,
	}
}

// String is the line in its canonical form: Parse gives the same check back.
func (c Check) String() string {
	metric := string(c.Metric)
	if c.Metric == Query {
		metric += `("` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.Query) + `")`
	}
	if c.Baseline {
		return metric + " worse-than baseline by " + c.value()
	}
	return metric + " " + string(c.Operator) + " " + c.value()
}

func (c Check) value() string {
	if c.Relative {
		return plain(c.Value, 2) + "%"
	}
	switch c.Metric {
	case ErrorRate:
		return plain(c.Value, 2) + "%"
	case P50, P90, P95, P99, Max:
		if c.Value < 1 {
			return plain(c.Value, 3) + "ms"
		}
		return plain(c.Value, 0) + "s"
	case Rate:
		return plain(c.Value, 0) + "/s"
	case Query:
		return strconv.FormatFloat(c.Value, 'g', -1, 64)
	case Restarts:
	}
	return plain(c.Value, 0)
}

// plain writes f·10^shift without an exponent, with the fewest digits from
// which f can be read back.
func plain(f float64, shift int) string {
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	e, _ := strconv.Atoi(exponent)
	digits = strings.Replace(digits, ".", "", 1)
	point := 1 + e + shift // digits before the point
	switch {
	case strings.Trim(digits, "0") == "":
		return "0"
	case point <= 0:
		return "0." + strings.Repeat("0", -point) + digits
	case point >= len(digits):
		return digits + strings.Repeat("0", point-len(digits))
	}
	return digits[:point] + "." + digits[point:]
}

// show writes a measured value for people, in the metric's unit.
func (m Metric) show(v float64) string {
	switch m {
	case ErrorRate:
		return significant(v*100) + "%"
	case P50, P90, P95, P99, Max:
		d := time.Duration(v * float64(time.Second))
		for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
			if d >= unit {
				return d.Round(unit / 100).String()
			}
		}
		return d.String()
	case Rate:
		return significant(v) + "/s"
	case Restarts, Query:
	}
	return significant(v)
}

// significant keeps three digits, and all before the point.
func significant(f float64) string {
	if math.Abs(f) >= 100 && math.Abs(f) < 1e15 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}
