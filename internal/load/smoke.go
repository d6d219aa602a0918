// Package load sends requests to a service and tells what came back: smoke
// requests, judged one by one, and constant-rate load, measured. It knows no
// thresholds.
package load

import (
	"context"
	"net/http"
	"net/url"

	"github.com/fibership/fibership/internal/analysis"
)

// Smoke is one request and the answer it must get.
type Smoke struct {
	Text     string // as written, without the space around it
	Method   string
	Path     string // with its query
	Status   int
	Contains string // text that the body must hold; empty: any
	JSONPath string // .items[0].name; empty: not looked at
	// JSONValue is what stands there: a JSON literal, or a bare word for a string.
	JSONValue string
}

// ParseSmoke reads METHOD /path => STATUS [contains "text"] [json .path == value].
func ParseSmoke(line string) (Smoke, error) { return parseSmoke(line) }

// Run sends the request and judges the answer.
func (s Smoke) Run(ctx context.Context, client *http.Client, base *url.URL) analysis.Result {
	return s.run(ctx, client, base)
}
