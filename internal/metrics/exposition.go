package metrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// counts is what a pod has counted since its process began.
type counts struct {
	requests, errors float64
	buckets          map[float64]float64 // cumulative, by upper bound in seconds
	started          float64             // of the process, Unix seconds; 0: not told

	hasRequests, hasBuckets bool
	unknownStatus           bool
}

// The names that are recognised, and how the process tells when it began.
const (
	otel         = "http_server_request_duration_seconds"
	plainCounter = "http_requests_total"
	plainLatency = "http_request_duration_seconds"
	processStart = "process_start_time_seconds"

	statusLabels = "code, status, status_code or http_response_status_code"
)

// mostSeries bounds the series of the metrics that are read.
const mostSeries = 20_000

func (n Names) String() string {
	requests, latency := n.Requests, n.Latency
	if requests == "" {
		requests = otel + " or " + plainCounter
	}
	if latency == "" {
		latency = otel + " or " + plainLatency
	}
	if requests == latency {
		return requests
	}
	return requests + "; " + latency
}

// wanted are the families to parse. A histogram may be named by one of its
// series.
func (n Names) wanted() (requests, latency []string) {
	family := func(name string) string {
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			name = strings.TrimSuffix(name, suffix)
		}
		return name
	}
	requests, latency = []string{otel, plainCounter, plainLatency}, []string{otel, plainLatency}
	if n.Requests != "" {
		requests = []string{n.Requests, family(n.Requests)}
	}
	if n.Latency != "" {
		latency = []string{family(n.Latency)}
	}
	return requests, latency
}

// read takes the metrics that are wanted out of a pod's text; own is the path
// under which it was got. Other metrics, however many or broken, are skipped
// before they are parsed.
func read(text io.Reader, names Names, own string) (counts, error) {
	requests, latency := names.wanted()
	kept, err := keep(text, slices.Concat(requests, latency, []string{processStart}))
	if err != nil {
		return counts{}, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(kept))
	if err != nil {
		return counts{}, fmt.Errorf("parse: %w", err)
	}
	return readFamilies(families, requests, latency, own), nil
}

func readFamilies(families map[string]*dto.MetricFamily, requests, latency []string, own string) counts {
	c := counts{buckets: map[float64]float64{}}
	if f := families[processStart]; f != nil && len(f.GetMetric()) > 0 {
		c.started = f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetUntyped().GetValue()
	}
	for _, name := range requests {
		if f := families[name]; f != nil && c.countRequests(f, own) {
			break
		}
	}
	for _, name := range latency {
		if f := families[name]; f != nil && c.countLatency(f, own) {
			break
		}
	}
	return c
}

// keep copies the lines of the families.
func keep(text io.Reader, families []string) ([]byte, error) {
	var kept bytes.Buffer
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 64<<10)
	series := 0
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		comment := bytes.HasPrefix(line, []byte("#"))
		name := string(line)
		if comment {
			fields := strings.Fields(name)
			if len(fields) != 4 || fields[1] != "TYPE" {
				continue
			}
			name = fields[2]
		} else if i := strings.IndexAny(name, "{ \t"); i >= 0 {
			name = name[:i]
		}
		if !slices.ContainsFunc(families, func(f string) bool {
			rest, ok := strings.CutPrefix(name, f)
			return ok && (rest == "" || !comment && (rest == "_bucket" || rest == "_sum" || rest == "_count"))
		}) {
			continue
		}
		if series++; series > mostSeries {
			return nil, fmt.Errorf("more than %d series of the metrics that are read", mostSeries)
		}
		kept.Write(line)
		kept.WriteByte('\n')
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, errors.New("a line of more than 64 KiB")
		}
		return nil, fmt.Errorf("read: %w", err)
	}
	return kept.Bytes(), nil
}

// countRequests is false where the family counts nothing.
func (c *counts) countRequests(f *dto.MetricFamily, own string) bool {
	for _, m := range f.GetMetric() {
		n := m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		if h := m.GetHistogram(); h != nil {
			n = float64(h.GetSampleCount())
		}
		if s := m.GetSummary(); s != nil {
			n = float64(s.GetSampleCount())
		}
		if !counted64(n) {
			continue
		}
		c.hasRequests = true
		if ownRequest(m, own) {
			continue
		}
		status, ok := label(m, "http_response_status_code", "status_code", "code", "status")
		if !ok {
			c.unknownStatus = c.unknownStatus || n > 0 // none are none, whatever their status
			continue
		}
		c.requests += n
		if len(status) == 3 && status[0] == '5' {
			c.errors += n
		}
	}
	if c.unknownStatus { // a part of the requests is worse than none
		c.requests, c.errors = 0, 0
	}
	return c.hasRequests
}

func (c *counts) countLatency(f *dto.MetricFamily, own string) bool {
	for _, m := range f.GetMetric() {
		h := m.GetHistogram()
		if h == nil || len(h.GetBucket()) == 0 {
			continue
		}
		c.hasBuckets = true
		if ownRequest(m, own) {
			continue
		}
		infinite := false
		for _, b := range h.GetBucket() {
			upper := b.GetUpperBound()
			if !math.IsNaN(upper) && counted64(float64(b.GetCumulativeCount())) {
				c.buckets[upper] += float64(b.GetCumulativeCount())
				infinite = infinite || math.IsInf(upper, 1)
			}
		}
		if n := float64(h.GetSampleCount()); !infinite && counted64(n) {
			c.buckets[math.Inf(1)] += n
		}
	}
	return c.hasBuckets
}

// counted64 says whether n can be a count.
func counted64(n float64) bool { return n >= 0 && n <= 1<<52 }

func label(m *dto.Metric, names ...string) (string, bool) {
	for _, name := range names {
		for _, l := range m.GetLabel() {
			if l.GetName() == name && l.GetValue() != "" {
				return l.GetValue(), true
			}
		}
	}
	return "", false
}

// ownRequest says whether the series counts what the platform asks of a pod
// rather than what people do.
func ownRequest(m *dto.Metric, own string) bool {
	route, ok := label(m, "http_route", "route", "path", "handler", "endpoint", "uri", "url_path")
	if !ok {
		return false
	}
	switch route {
	case own, "/metrics", "/readyz", "/livez", "/healthz", "/health", "/ready", "/live", "/startupz":
		return true
	}
	return false
}

// startedAfter says that another process tells now.
func (c counts) startedAfter(last counts) bool {
	return c.started > 0 && last.started > 0 && c.started != last.started
}

// fellBelow says that a counter went back, which it does only by starting anew.
func (c counts) fellBelow(last counts) bool {
	if c.requests < last.requests || c.errors < last.errors {
		return true
	}
	for upper, n := range last.buckets {
		if c.buckets[upper] < n {
			return true
		}
	}
	return false
}
