// Package github tells GitHub which release went where, as deployments and
// their statuses, for jobs that have no `environment:` of their own. It never
// decides anything: what GitHub does not take is logged, and the release goes on.
package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// How long GitHub may hold up a release: it is told of it, no more.
const (
	perTry  = 4 * time.Second
	inAll   = 10 * time.Second
	retries = 3
)

// Deployments are those of one repository.
type Deployments struct {
	API        string // https://api.github.com
	Repository string // owner/name
	Token      string // with the permission `deployments: write`
	Log        progress.Log
}

// Begun records that a release is on its way and gives the deployment's
// number, 0 where GitHub did not take it.
// Source: https://docs.github.com/rest/deployments/deployments#create-a-deployment
func (d *Deployments) Begun(ctx context.Context, r release.Record) int64 {
	ctx, cancel := context.WithTimeout(ctx, inAll)
	defer cancel()
	ref := r.Commit
	if ref == "" {
		ref = r.Ref
	}
	if ref == "" {
		d.warn(errors.New("neither the release's commit nor the run's is known"))
		return 0
	}
	task := "deploy"
	if r.Restored > 0 {
		task = "rollback"
	}
	var made struct {
		ID int64 `json:"id"`
	}
	err := d.post(ctx, "deployments", map[string]any{
		"ref": ref, "task": task, "environment": r.Environment, "description": describe(r),
		"auto_merge": false, "required_contexts": []string{},
		"payload": map[string]any{"service": r.Service, "release": r.Revision, "image": r.Image},
	}, &made)
	if err == nil && made.ID == 0 {
		err = errors.New("the answer names no deployment")
	}
	if err == nil {
		err = d.status(ctx, made.ID, "in_progress", r)
	}
	if err != nil {
		d.warn(err)
	}
	return made.ID
}

// Ended records how the release of a deployment ended.
func (d *Deployments) Ended(ctx context.Context, r release.Record) {
	if r.Deployment == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, inAll)
	defer cancel()
	state := "failure"
	if r.Status == release.Succeeded {
		state = "success"
	}
	if err := d.status(ctx, r.Deployment, state, r); err != nil {
		d.warn(err)
	}
}

// Source: https://docs.github.com/rest/deployments/statuses#create-a-deployment-status
func (d *Deployments) status(ctx context.Context, deployment int64, state string, r release.Record) error {
	body := map[string]any{"state": state, "description": describe(r)}
	if r.Run != "" {
		body["log_url"] = r.Run
	}
	if r.URL != "" && state == "success" {
		body["environment_url"] = r.URL
	}
	return d.post(ctx, fmt.Sprintf("deployments/%d/statuses", deployment), body, nil)
}

// longest is how many characters GitHub takes as a description.
const longest = 140

// describe is a release in a line.
func describe(r release.Record) string {
	text := fmt.Sprintf("release %d of %s", r.Revision, r.Service)
	switch r.Status {
	case release.Succeeded, release.Unchanged, release.Planned, release.Refused, release.Underway:
		if r.Restored > 0 {
			text += fmt.Sprintf(" restores release %d", r.Restored)
		}
	case release.RolledBack:
		text += " was taken back: " + r.Failure
	case release.Failed:
		text += " failed: " + r.Failure
	}
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest-1]) + "…"
	}
	return text
}

func (d *Deployments) warn(err error) {
	progress.Warn(d.Log, "GitHub deployment", fmt.Sprintf("the release is not told to GitHub: %v", err))
}

// post sends a question about the repository and reads the answer into to,
// where that is not nil.
func (d *Deployments) post(ctx context.Context, path string, body map[string]any, to any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, d.API+"/repos/"+d.Repository+"/"+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("Authorization", "Bearer "+d.Token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	response, err := client().Do(request)
	if err != nil {
		return fmt.Errorf("ask GitHub: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read GitHub's answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return refused(response.StatusCode, answer)
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(answer, to)
}

// refused is GitHub's no, with what most likely helps.
func refused(code int, answer []byte) error {
	var told struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &told) // a proxy answers what it likes
	text := strings.TrimSpace(fmt.Sprintf("GitHub answers %d %s", code, told.Message))
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		text += "; give the job the permission deployments: write, and the action its github-token"
	}
	return errors.New(text)
}

func client() *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.RetryMax = retries
	c.HTTPClient.Timeout = perTry
	c.CheckRetry = again
	c.Backoff = wait
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return c
}

// again retries what passes by itself. A 500 may have made the deployment, so
// it is not asked for twice.
func again(ctx context.Context, response *http.Response, err error) (bool, error) {
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		return true, nil
	case response.StatusCode == http.StatusForbidden:
		return response.Header.Get("Retry-After") != "", nil
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		return true, nil
	}
	return false, nil
}

// wait is the library's, but for a server that wants more than we give.
func wait(least, most time.Duration, attempt int, response *http.Response) time.Duration {
	return min(retryablehttp.DefaultBackoff(least, most, attempt, response), 2*time.Second)
}
