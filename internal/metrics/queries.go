package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
)

// Stepper is a Session that wants to know when a step begins: when a share of
// traffic has been made true, and what is measured from then on is to be
// judged apart.
type Stepper interface{ Step() }

// usualInterval stands for one that samples have not shown yet.
const usualInterval = 15 * time.Second

// Queried is the source with the answers to queries beside it. Each is asked
// for the pods of the session's version, of a service in a namespace:
//
//	{{service}}    its name
//	{{namespace}}  the namespace
//	{{version}}    the pod-template-hash of the version's pods, (a|b) where
//	               there are several: for a regular expression, such as
//	               pod=~".+-{{version}}-.+"
//	{{window}}     the time since the step began, such as 37s
//
// None holds more than letters, digits, hyphens, bars and brackets, so they
// are safe within quotes. A query with {{window}} has no value before two
// scrapes are in it. No answer, NaN and infinities are no value either; an
// answer of several series, or none in time, is no value but a reason.
func (s *Server) Queried(source Source, queries []string, service, namespace string) Source {
	slices.Sort(queries)
	return queried{source, s, slices.Compact(queries), placeholders{service: service, namespace: namespace}}
}

type queried struct {
	Source
	server  *Server
	queries []string
	filled  placeholders
}

func (q queried) Start(ctx context.Context, list Lister) Session {
	a := &asking{asked: q, began: time.Now()}
	a.Session = q.Source.Start(ctx, func(ctx context.Context) ([]corev1.Pod, error) {
		pods, err := list(ctx)
		if err == nil {
			a.mu.Lock()
			a.pods = pods
			a.mu.Unlock()
		}
		return pods, err
	})
	return a
}

type asking struct {
	Session
	asked queried

	mu    sync.Mutex
	pods  []corev1.Pod // as they were listed last
	began time.Time    // of the step
}

// Step begins a step.
func (a *asking) Step() {
	a.mu.Lock()
	a.began = time.Now()
	a.mu.Unlock()
	if s, ok := a.Session.(Stepper); ok {
		s.Step()
	}
}

func (a *asking) Read(ctx context.Context) (analysis.Measurement, error) {
	m, err := a.Session.Read(ctx)
	if err != nil {
		return m, err
	}
	a.mu.Lock()
	filled := a.asked.filled
	filled.window = time.Since(a.began)
	pods := a.pods
	a.mu.Unlock()
	m.Queries, m.Unanswered = map[string]float64{}, map[string]string{}
	if a.asked.server.pace.interval() == 0 {
		a.asked.server.learnPace(ctx, pods)
	}
	version, problem := hashes(pods)
	filled.version = version
	var (
		work  sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, atOnce)
	)
	for _, query := range a.asked.queries {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			value, err := 0.0, problem
			if err == nil || !strings.Contains(query, "{{version}}") {
				value, err = a.asked.server.value(ctx, query, filled)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				m.Unanswered[query] = err.Error()
			} else {
				m.Queries[query] = value
			}
		})
	}
	work.Wait()
	return m, nil
}

// value asks a query that gives one number.
func (s *Server) value(ctx context.Context, query string, with placeholders) (float64, error) {
	interval := s.pace.interval()
	if interval == 0 {
		interval = usualInterval
	}
	if strings.Contains(query, "{{window}}") && with.window < leastScrapes*interval {
		return 0, fmt.Errorf("the step is %v old: from %v on there are two scrapes in it", with.window.Round(time.Second), leastScrapes*interval)
	}
	promql, err := fill(query, with)
	if err != nil {
		return 0, err
	}
	answer, err := s.ask(ctx, promql)
	if err != nil {
		return 0, err
	}
	var value float64
	switch a := answer.(type) {
	case *model.Scalar:
		value = float64(a.Value)
	case model.Vector:
		if len(a) > 1 {
			return 0, fmt.Errorf("it gives %d series where one number is needed: aggregate them, e.g. with sum(…)", len(a))
		}
		if len(a) == 0 {
			return 0, errors.New("it gives no data")
		}
		value = float64(a[0].Value)
	default:
		return 0, fmt.Errorf("it gives a %s where one number is needed", answer.Type())
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, fmt.Errorf("it gives %v, which is no data", value)
	}
	return value, nil
}

// placeholders are what a query's braces stand for.
type placeholders struct {
	service, namespace, version string
	window                      time.Duration
}

var (
	braces = regexp.MustCompile(`\{\{[^{}]*\}\}`)
	plain  = regexp.MustCompile(`^[-a-z0-9.|()]*$`)
)

// fill puts them in.
func fill(query string, with placeholders) (string, error) {
	var problem error
	filled := braces.ReplaceAllStringFunc(query, func(found string) string {
		text := ""
		switch name := strings.TrimSpace(strings.Trim(found, "{}")); name {
		case "service":
			text = with.service
		case "namespace":
			text = with.namespace
		case "version":
			text = with.version
		case "window":
			text = fmt.Sprintf("%ds", max(1, int(math.Ceil(with.window.Seconds()))))
		default:
			problem = fmt.Errorf("%s stands for nothing: expected {{service}}, {{namespace}}, {{version}} or {{window}}", found)
		}
		if !plain.MatchString(text) {
			problem = fmt.Errorf("%s is %q, which cannot be put into a query safely", found, text)
		}
		return text
	})
	return filled, problem
}

var errNoHash = errors.New("the version has no pods with a label pod-template-hash to tell them by")

// hashes is the version by which pods' names tell it from others.
func hashes(pods []corev1.Pod) (string, error) {
	var all []string
	for i := range pods {
		if hash := pods[i].Labels["pod-template-hash"]; hash != "" {
			all = append(all, hash)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	switch len(all) {
	case 0:
		return "", errNoHash
	case 1:
		return all[0], nil
	default:
		return "(" + strings.Join(all, "|") + ")", nil
	}
}
