package load

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const specExample = "rate=200 duration=30s path=/orders"

// Spec is a constant-rate load.
type Spec struct {
	Rate     float64       // requests a second, all workers together
	Duration time.Duration // measured, after the warm-up
	WarmUp   time.Duration // sent before it, not measured
	Timeout  time.Duration // for one request
	Method   string
	Path     string // with its query
	Workers  int    // pods it is spread over, where it runs in the cluster
}

// ParseSpec reads settings separated by space, in any order:
//
//	rate=200 duration=30s path=/orders [method=GET] [warm-up=3s] [timeout=10s] [workers=1]
//
// The warm-up is a tenth of the duration, five seconds at most, where it is
// not given.
func ParseSpec(line string) (Spec, error) {
	s := Spec{Method: "GET", Path: "/", Timeout: 10 * time.Second, Workers: 1, WarmUp: -1}
	given := map[string]bool{}
	for _, setting := range strings.Fields(line) {
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return Spec{}, fmt.Errorf("%.40q: expected name=value, e.g. %s", setting, specExample)
		}
		if given[name] {
			return Spec{}, fmt.Errorf("%.40q: %s is given twice", setting, name)
		}
		given[name] = true
		want, ok := s.set(name, value)
		if want == "" {
			return Spec{}, fmt.Errorf("%.40q: expected rate, duration, path, method, warm-up, timeout or workers, e.g. %s", setting, specExample)
		}
		if !ok {
			return Spec{}, fmt.Errorf("%.40q: expected %s, e.g. %s", setting, want, specExample)
		}
	}
	for _, name := range []string{"rate", "duration"} {
		if !given[name] {
			return Spec{}, fmt.Errorf("%s is missing: expected e.g. %s", name, specExample)
		}
	}
	if s.WarmUp < 0 {
		s.WarmUp = min(s.Duration/10, 5*time.Second)
	}
	if float64(s.Workers) > s.Rate {
		return Spec{}, fmt.Errorf("workers=%d share rate=%s: expected at least one request a second for each", s.Workers, rate(s.Rate))
	}
	return s, nil
}

// String is the load as ParseSpec reads it, everything said.
func (s Spec) String() string {
	return fmt.Sprintf("rate=%s duration=%v warm-up=%v timeout=%v method=%s path=%s workers=%d",
		rate(s.Rate), s.Duration, s.WarmUp, s.Timeout, s.Method, s.Path, s.Workers)
}

// Share is what each of the workers sends.
func (s Spec) Share() Spec {
	s.Rate, s.Workers = s.Rate/float64(s.Workers), 1
	return s
}

func rate(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// set says what the setting wants, nothing where there is none of the name.
func (s *Spec) set(name, value string) (want string, ok bool) {
	var err error
	switch name {
	case "rate":
		s.Rate, err = strconv.ParseFloat(strings.TrimSuffix(value, "/s"), 64)
		return "rate=1 to 100000 a second", err == nil && !math.IsNaN(s.Rate) && s.Rate >= 1 && s.Rate <= 100_000
	case "duration":
		s.Duration, err = time.ParseDuration(value)
		return "duration=1s to 1h", err == nil && s.Duration >= time.Second && s.Duration <= time.Hour
	case "warm-up":
		s.WarmUp, err = time.ParseDuration(value)
		return "warm-up=0s to 10m", err == nil && s.WarmUp >= 0 && s.WarmUp <= 10*time.Minute
	case "timeout":
		s.Timeout, err = time.ParseDuration(value)
		return "timeout=1ms to 1m", err == nil && s.Timeout >= time.Millisecond && s.Timeout <= time.Minute
	case "method":
		s.Method = value
		return "method=" + strings.Join(methods, ", "), slices.Contains(methods, value)
	case "path":
		s.Path = value
		return "path=/like/this?and=this", isPath(value)
	case "workers":
		s.Workers, err = strconv.Atoi(value)
		return "workers=1 to 100", err == nil && s.Workers >= 1 && s.Workers <= 100
	}
	return "", false
}

// isPath says whether text is a path, with its query, that stays below the
// root that it is joined to.
func isPath(text string) bool {
	u, err := url.ParseRequestURI(text)
	return err == nil && strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") &&
		u.Host == "" && !strings.Contains(text, "#") && !slices.Contains(strings.Split(u.Path, "/"), "..")
}
