package metrics

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// snapshot is what a teller told at one scrape. A process that nobody has
// asked for anything may tell that it runs and no more.
type snapshot struct {
	at   model.Time
	told counts
}

// podLabels are the pairs of labels that scrape configurations name pods by.
var podLabels = [][2]string{{"namespace", "pod"}, {"kubernetes_namespace", "kubernetes_pod_name"}}

// podsAtOnce keeps a query short enough for a URL.
const podsAtOnce = 40

// samples reads what the server scraped from the pods in the time back from
// now, sorted by time. Pods are told by the labels; they are found in the
// server under the names that the API server gives them.
func (s *Server) samples(ctx context.Context, pods []corev1.Pod, labels [2]string, names Names, back time.Duration, says *once) (map[teller][]snapshot, error) {
	all := map[teller][]snapshot{}
	for some := range slices.Chunk(pods, podsAtOnce) {
		series, err := s.series(ctx, selector(some, labels, names.series()), back)
		if err != nil {
			return nil, err
		}
		byName := map[string]types.UID{}
		for i := range some {
			byName[some[i].Name] = some[i].UID
		}
		for from, told := range sorted(series, byName, labels[1], says) {
			all[from] = snapshots(told, names, says)
		}
	}
	return all, nil
}

// series asks for the raw samples of a selector.
func (s *Server) series(ctx context.Context, selector string, back time.Duration) (model.Matrix, error) {
	value, err := s.ask(ctx, fmt.Sprintf("%s[%ds]", selector, int(math.Ceil(back.Seconds()))))
	if err != nil {
		return nil, err
	}
	series, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("ask Prometheus: a %s came where samples were asked for", value.Type())
	}
	if len(series) > mostSeries {
		return nil, fmt.Errorf("ask Prometheus: %d series of the metrics that are read, more than %d", len(series), mostSeries)
	}
	return series, nil
}

// series are the names under which a server keeps what is wanted.
func (n Names) series() []string {
	requests, latency := n.wanted()
	names := []string{processStart}
	for _, name := range requests {
		names = append(names, name, name+"_count")
	}
	for _, name := range latency {
		names = append(names, name+"_bucket")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// selector picks the named series of the pods, all of one namespace.
func selector(pods []corev1.Pod, labels [2]string, names []string) string {
	podNames := make([]string, 0, len(pods))
	for i := range pods {
		podNames = append(podNames, pods[i].Name)
	}
	return fmt.Sprintf("{__name__=~%s,%s=%s,%s=~%s}", anyOf(names),
		labels[0], strconv.Quote(pods[0].Namespace), labels[1], anyOf(podNames))
}

// anyOf is a quoted regular expression of PromQL, whose strings are Go's.
func anyOf(names []string) string {
	escaped := make([]string, 0, len(names))
	for _, name := range names {
		escaped = append(escaped, regexp.QuoteMeta(name))
	}
	return strconv.Quote(strings.Join(escaped, "|"))
}

// sorted gives each teller its series. Where several jobs scrape the same
// address, or several servers deliver what they scraped, one of them counts.
func sorted(series model.Matrix, pods map[string]types.UID, podLabel string, says *once) map[teller]model.Matrix {
	byScraper := map[teller]map[string]model.Matrix{}
	for _, one := range series {
		uid, ok := pods[string(one.Metric[model.LabelName(podLabel)])]
		if !ok {
			continue
		}
		from := teller{pod: uid, instance: string(one.Metric["instance"])}
		scraper := ""
		for _, label := range []model.LabelName{"job", "prometheus", "prometheus_replica", "replica", "cluster"} {
			scraper += string(one.Metric[label]) + "\x00"
		}
		if byScraper[from] == nil {
			byScraper[from] = map[string]model.Matrix{}
		}
		byScraper[from][scraper] = append(byScraper[from][scraper], one)
	}
	all := map[teller]model.Matrix{}
	for from, scrapers := range byScraper {
		names := slices.Sorted(maps.Keys(scrapers))
		if len(names) > 1 {
			says.sayf("Prometheus has the pods' metrics from %d jobs: those of the first count", len(names))
		}
		all[from] = scrapers[names[0]]
	}
	return all
}

// snapshots puts the series of one teller back together, scrape by scrape, and
// reads each as a pod's own text is read.
func snapshots(series model.Matrix, names Names, says *once) []snapshot {
	scrapes := map[model.Time]families{}
	for _, one := range series {
		for _, sample := range one.Values {
			if scrapes[sample.Timestamp] == nil {
				scrapes[sample.Timestamp] = families{}
			}
			scrapes[sample.Timestamp].add(one.Metric, float64(sample.Value), names)
		}
	}
	requests, latency := names.wanted()
	var all []snapshot
	for _, at := range slices.Sorted(maps.Keys(scrapes)) {
		told := scrapes[at].counts(requests, latency)
		if told.unknownStatus {
			says.sayf("Prometheus has the pods' requests without a status label (%s): errors are not known, so no requests are counted", statusLabels)
		}
		if told.hasRequests || told.hasBuckets || told.started > 0 {
			all = append(all, snapshot{at, told})
		}
	}
	return all
}

// families are metrics by name, and in it by labels.
type families map[string]map[model.Fingerprint]*dto.Metric

// add takes one sample. Series of a histogram or summary come together under
// the name of their family.
func (f families) add(labels model.Metric, value float64, names Names) {
	name := string(labels[model.MetricNameLabel])
	if name != processStart && !counted64(value) { // NaN among them
		return
	}
	requests, latency := names.wanted()
	family, isBucket := strings.CutSuffix(name, "_bucket")
	isCount := false
	if !isBucket {
		if base, ok := strings.CutSuffix(name, "_count"); ok && slices.Contains(slices.Concat(requests, latency), base) {
			family, isCount = base, true
		}
	}
	m := f.metric(family, labels)
	switch n := uint64(max(0, value)); {
	case isBucket:
		upper, err := strconv.ParseFloat(string(labels[model.BucketLabel]), 64)
		if err != nil {
			return
		}
		if m.Histogram == nil {
			m.Histogram = &dto.Histogram{}
		}
		m.Histogram.Bucket = append(m.Histogram.Bucket, &dto.Bucket{UpperBound: &upper, CumulativeCount: &n})
	case isCount:
		if m.Histogram == nil {
			m.Histogram = &dto.Histogram{}
		}
		m.Histogram.SampleCount = &n
	default:
		m.Untyped = &dto.Untyped{Value: &value}
	}
}

// metric finds or makes the metric of these labels, le apart. A target's label
// endpoint is the name of a port, not what was asked for.
func (f families) metric(family string, labels model.Metric) *dto.Metric {
	own := labels.Clone()
	delete(own, model.BucketLabel)
	delete(own, model.MetricNameLabel)
	if !strings.HasPrefix(string(own["endpoint"]), "/") {
		delete(own, "endpoint")
	}
	if f[family] == nil {
		f[family] = map[model.Fingerprint]*dto.Metric{}
	}
	print := own.Fingerprint()
	if f[family][print] == nil {
		m := &dto.Metric{}
		for name, value := range own {
			name, value := string(name), string(value)
			m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: &value})
		}
		f[family][print] = m
	}
	return f[family][print]
}

func (f families) counts(requests, latency []string) counts {
	parsed := map[string]*dto.MetricFamily{}
	for name, metrics := range f {
		parsed[name] = &dto.MetricFamily{Metric: slices.Collect(maps.Values(metrics))}
	}
	return readFamilies(parsed, requests, latency, "/metrics")
}
