// Package load sends requests to a service and tells what came back: smoke
// requests, judged one by one, and constant-rate load, measured. It knows no
// thresholds.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/analysis"
)

const (
	mostBody   = 1 << 20 // bytes of an answer
	smokeLimit = 10 * time.Second
	comingUp   = 10 * time.Second
	retryEvery = 250 * time.Millisecond
	shownRunes = 200
)

// Smoke is one request and the answer it must get.
type Smoke struct {
	Text      string // as written, without the space around it
	Method    string
	Path      string // with its query
	Status    int
	Contains  string // text that the body must hold; empty: any
	JSONPath  string // as written, like .items[0].name; empty: not looked at
	JSONValue string // what must stand there, as JSON
}

// Run sends the request to the service whose root is base and judges the
// answer as written. It asks again only while the service is coming up: while
// the API server says that it has no endpoints or cannot reach them, or
// nobody listens, and for ten seconds at most. An answer of the service
// itself is final, and so is one that does not come within ten seconds.
// Answers of more than 1 MiB fail. What is told of an answer goes through hide
// first, which takes out what must not be shown.
func (s Smoke) Run(ctx context.Context, client *http.Client, base *url.URL, hide func(text string) string) analysis.Result {
	deadline := time.Now().Add(comingUp)
	for {
		result, final := s.once(ctx, client, base, hide)
		if final || time.Until(deadline) < retryEvery {
			return result
		}
		select {
		case <-ctx.Done():
			return s.cancelled()
		case <-time.After(retryEvery):
		}
	}
}

// once is not final where the service may just be coming up.
func (s Smoke) once(ctx context.Context, client *http.Client, base *url.URL, hide func(string) string) (result analysis.Result, final bool) {
	result = analysis.Result{Check: s.Text, Samples: 1, Verdict: analysis.Fail}
	got, err := s.ask(ctx, client, base)
	switch {
	case ctx.Err() != nil:
		return s.cancelled(), true
	case err != nil:
		result.Detail = "no answer: " + clean(hide(err.Error()))
		return result, !errors.Is(err, syscall.ECONNREFUSED)
	case got.waking():
		result.Detail = "the service does not answer: " + clean(hide(string(got.body)))
		return result, false
	}
	result.Measured = strconv.Itoa(got.status)
	result.Detail = s.judge(got, hide)
	if result.Detail == "" {
		result.Verdict = analysis.Pass
	}
	return result, true
}

func (s Smoke) cancelled() analysis.Result {
	return analysis.Result{Check: s.Text, Detail: "cancelled before an answer came"}
}

// answer is what came back.
type answer struct {
	status int
	body   []byte
	long   bool // there is more than was read
}

// waking says whether the API server's proxy, not the service, answered that
// nobody is there yet. Of a Service whose endpoints were not written yet it
// says that the Service was not found.
func (a answer) waking() bool {
	var status metav1.Status
	if json.Unmarshal(a.body, &status) != nil || status.Kind != "Status" || status.APIVersion != "v1" {
		return false
	}
	switch a.status {
	case http.StatusNotFound:
		return status.Reason == metav1.StatusReasonNotFound && status.Details != nil && status.Details.Kind == "services"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return strings.Contains(status.Message, "no endpoints available") || strings.Contains(status.Message, "error trying to reach service")
	}
	return false
}

func (s Smoke) ask(ctx context.Context, client *http.Client, base *url.URL) (answer, error) {
	path, err := url.ParseRequestURI(s.Path)
	if err != nil {
		return answer{}, fmt.Errorf("path %q: %w", s.Path, err)
	}
	to := base.JoinPath(path.EscapedPath())
	to.RawQuery = path.RawQuery
	ctx, cancel := context.WithTimeout(ctx, smokeLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, s.Method, to.String(), http.NoBody)
	if err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the API server's address
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return answer{}, fmt.Errorf("none within %v", smokeLimit)
		}
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody+1))
	if err != nil {
		return answer{}, fmt.Errorf("status %d, then the body broke off after %d bytes: %w", resp.StatusCode, len(body), err)
	}
	got := answer{status: resp.StatusCode, body: body}
	if len(body) > mostBody {
		got.body, got.long = body[:mostBody], true
	}
	return got, nil
}

// judge is empty where the answer is the one that must come.
func (s Smoke) judge(got answer, hide func(string) string) string {
	var problem string
	switch {
	case got.status != s.Status:
		problem = fmt.Sprintf("status %d instead of %d", got.status, s.Status)
	case got.long:
		problem = fmt.Sprintf("a body of more than %d MiB", mostBody>>20)
	case s.Contains != "" && !bytes.Contains(got.body, []byte(s.Contains)):
		problem = fmt.Sprintf("status %d, but the body does not contain %q", got.status, s.Contains)
	case s.JSONPath != "":
		problem = s.judgeJSON(got.body, hide)
	}
	if problem == "" {
		return ""
	}
	if len(got.body) == 0 {
		return problem + ", with an empty body"
	}
	return problem + ": " + clean(hide(string(got.body)))
}

func (s Smoke) judgeJSON(body []byte, hide func(string) string) string {
	found, err := lookUp(body, s.JSONPath)
	if err != nil {
		return fmt.Sprintf("json %s: %s", s.JSONPath, hide(err.Error()))
	}
	if !equalJSON(found, s.JSONValue) {
		raw, err := json.Marshal(found)
		if err != nil {
			return fmt.Sprintf("json %s: %v", s.JSONPath, err)
		}
		return fmt.Sprintf("json %s is %s instead of %s", s.JSONPath, clean(hide(string(raw))), s.JSONValue)
	}
	return ""
}
