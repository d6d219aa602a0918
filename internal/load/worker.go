package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A worker and whoever started it talk in lines of the worker's log: it says
// Ready, is told to go by a request to its port, and ends with its report.
const (
	// Ready is a worker's line when it could begin.
	Ready = "fibership: ready to send"
	// GoPort is where a worker takes the word to begin: GET GoPath.
	GoPort = 8080
	GoPath = "/go"

	reported = "fibership: report "
)

// alone is how long a worker waits for the word. Then it begins by itself:
// who started it may not be allowed to reach pods.
const alone = 20 * time.Second

// Work is one of several workers: it waits until all can begin, sends its
// share to the service at base, and writes its report to out. A worker that
// has no others waits for nobody.
func Work(ctx context.Context, base string, share Spec, others bool, out io.Writer) error {
	to, err := url.Parse(base)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return fmt.Errorf("%.80q: expected the address of a service", base)
	}
	if others {
		if err := start(ctx, out); err != nil {
			return err
		}
	}
	report, err := share.Run(ctx, direct(), to)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s%s\n", reported, raw)
	return err
}

// start waits for the word.
func start(ctx context.Context, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf(":%d", GoPort))
	if err != nil {
		return fmt.Errorf("listen for the word to begin: %w", err)
	}
	word := make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+GoPath, func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(word) })
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with the process
	if _, err := fmt.Fprintln(out, Ready); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(alone):
		_, err = fmt.Fprintf(out, "nobody gave the word for %v: beginning alone\n", alone)
		return err
	case <-word:
		return nil
	}
}

// direct is a client that keeps its connections and follows nobody.
func direct() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 10_000, DisableCompression: true,
			TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ParseReport reads a worker's report from a line of its log; false where the
// line is another one. What cannot have been measured is refused.
func ParseReport(line string) (r Report, is bool, err error) {
	raw, is := strings.CutPrefix(line, reported)
	if !is {
		return Report{}, false, nil
	}
	if err := json.Unmarshal([]byte(raw), &r); err != nil {
		return Report{}, true, fmt.Errorf("a worker's report: %w", err)
	}
	var told int64
	for status, n := range r.Statuses {
		if n <= 0 || status < 0 || status > 999 || n > r.Requests {
			return Report{}, true, errors.New("a worker's report: no such count of a status")
		}
		told += n
	}
	if r.Requests < 0 || r.Errors < 0 || r.Errors > r.Requests || told != r.Requests || r.Latency.Count() != r.Requests ||
		r.Window < 0 || r.Window > 24*time.Hour || len(r.Problems) > mostProblems {
		return Report{}, true, errors.New("a worker's report: its numbers contradict each other")
	}
	problems := map[string]int64{}
	for problem, n := range r.Problems {
		problems[clean(problem)] += n
	}
	r.Problems = problems
	return r, true, nil
}
