// Command web is the service that tests deploy. Its environment says how it
// behaves:
//
//	PORT         listens here; 3000
//	VERSION      told by / and by the label of its metrics
//	CRASH_AFTER  ends with exit code 3 after the duration ("0s": at once), saying so on standard error
//	UNREADY      "true": /readyz answers 503 for ever; a duration: for that long
//	FAIL_RATE    share of requests to / that answer 500, for example 0.2
//	LATENCY      each request to / takes this long
//	DRAIN        serves on for this long after SIGTERM; 0s
//	GREET        more text for /
//
// / tells version, method and pod as JSON; /echo gives the body back; /status?code=418 any status;
// /redirect leads to another host; /livez, /readyz, /metrics (http_requests_total by code,
// http_request_duration_seconds).
//
// With arguments it is what a Job runs:
//
//	web work 2s 3    writes a line ten times a second for so long, then ends with the exit code
//	web fetch URL    asks for it, prints the answer, and ends with 0 if that was 200, else with 4
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(job(os.Args[1:]))
	}
	if after := os.Getenv("CRASH_AFTER"); after != "" {
		time.AfterFunc(duration("CRASH_AFTER"), func() {
			fmt.Fprintf(os.Stderr, "fatal: crashing after %s as CRASH_AFTER says\n", after)
			os.Exit(3)
		})
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := &service{begun: time.Now(), unready: duration("UNREADY"), latency: duration("LATENCY"), codes: map[int]int{}}
	s.failRate, _ = strconv.ParseFloat(os.Getenv("FAIL_RATE"), 64)
	server := &http.Server{Addr: ":" + port, Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Fatal(err)
		}
	}()
	log.Printf("version %s listens on port %s", os.Getenv("VERSION"), port)
	<-ctx.Done()
	time.Sleep(duration("DRAIN"))
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = server.Shutdown(end)
}

type service struct {
	begun            time.Time
	unready, latency time.Duration
	failRate         float64
	asked            atomic.Int64

	mu      sync.Mutex
	codes   map[int]int
	buckets [len(bounds)]int
	seconds float64
	count   int
}

var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.root)
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Query().Get("code"))
		if err != nil || code < 200 || code > 599 {
			code = http.StatusBadRequest
		}
		w.WriteHeader(code)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	})
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("UNREADY") == "true" || time.Since(s.begun) < s.unready {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/metrics", s.metrics)
	return mux
}

// root fails every n-th request, so that a share is met without chance.
func (s *service) root(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	time.Sleep(s.latency)
	n := float64(s.asked.Add(1))
	code := http.StatusOK
	if int(n*s.failRate) > int((n-1)*s.failRate) {
		code = http.StatusInternalServerError
	}
	host, _ := os.Hostname()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"version": os.Getenv("VERSION"), "method": r.Method, "path": r.URL.Path, "pod": host, "greet": os.Getenv("GREET"),
		"authorization": r.Header.Get("Authorization") != "",
	})
	s.note(code, time.Since(begun).Seconds())
}

func (s *service) note(code int, seconds float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code]++
	s.count++
	s.seconds += seconds
	for i, bound := range bounds {
		if seconds <= bound {
			s.buckets[i]++
		}
	}
}

func (s *service) metrics(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out strings.Builder
	out.WriteString("# TYPE http_requests_total counter\n")
	for code, n := range s.codes {
		fmt.Fprintf(&out, "http_requests_total{code=\"%d\",version=%q} %d\n", code, os.Getenv("VERSION"), n)
	}
	out.WriteString("# TYPE http_request_duration_seconds histogram\n")
	for i, bound := range bounds {
		fmt.Fprintf(&out, "http_request_duration_seconds_bucket{le=\"%g\"} %d\n", bound, s.buckets[i])
	}
	fmt.Fprintf(&out, "http_request_duration_seconds_bucket{le=\"+Inf\"} %d\nhttp_request_duration_seconds_sum %g\nhttp_request_duration_seconds_count %d\n", s.count, s.seconds, s.count)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(w, out.String())
}

// duration of an environment variable; 0 where it is none.
func duration(name string) time.Duration {
	d, _ := time.ParseDuration(os.Getenv(name))
	return d
}
