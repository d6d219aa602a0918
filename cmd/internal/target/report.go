package target

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

// Outputs sets the shared outputs, on failure too. url holds where the record
// does not know better.
func Outputs(r *action.Run, t deploy.Target, result deploy.Result, url string) error {
	record := result.Record
	if record.Revision > 0 {
		r.Set("release", strconv.Itoa(record.Revision))
	}
	r.Set("image", record.Image)
	r.Set("digest", digestOf(record.Image))
	if result.Previous.Revision > 0 {
		r.Set("previous-release", strconv.Itoa(result.Previous.Revision))
		r.Set("previous-image", result.Previous.Image)
	}
	r.Set("status", string(result.Status))
	if url = cmp.Or(record.URL, url); url != "" {
		r.Set("url", url)
	}
	checks := result.Checks
	if checks == nil {
		checks = []analysis.Result{}
	}
	// What came to no release says at least what it was to be.
	record.Service, record.Environment = cmp.Or(record.Service, t.Service), cmp.Or(record.Environment, t.Environment)
	record.Namespace, record.Status = cmp.Or(record.Namespace, t.Namespace), cmp.Or(record.Status, result.Status)
	return errors.Join(SetJSON(r, "checks", checks), SetJSON(r, "record", record.Bare()))
}

// SetJSON sets an output to a value's JSON.
func SetJSON(r *action.Run, output string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode output %s: %w", output, err)
	}
	r.Set(output, string(raw))
	return nil
}

func digestOf(image string) string {
	d, err := name.NewDigest(image)
	if err != nil {
		return ""
	}
	return d.DigestStr()
}

// Summary tells how it went: the verdict first, then checks, changes, and on
// failure the evidence.
func Summary(r *action.Run, title string, t deploy.Target, result deploy.Result, err error) {
	failure := (*rollout.Failure)(nil)
	doomed := errors.As(err, &failure)
	switch {
	case result.Status == release.Planned:
		tellChanges(r, "Plan", result.Changes)
	case doomed:
		tellChanges(r, "Changes against what was live", result.Changes)
	}
	r.Summary(fmt.Sprintf("### %s %s: %s in %s %s\n\n", mark(result.Status), title, action.Escape(t.Service), action.Escape(t.Environment), sentence(result)))
	r.Summary(action.Table([]string{"release", "image", "commit", "before", "took"}, [][]string{{
		number(result.Record.Revision), action.Code(short(result.Record.Image)), action.Code(shortCommit(result.Record.Commit)),
		before(result.Previous), took(result.Record),
	}}) + "\n")
	if err != nil {
		r.Summary(action.Fence("text", err.Error()))
	}
	if len(result.Checks) > 0 {
		r.Summary(checks(result.Checks) + "\n")
	}
	r.Summary(ramps(result.Record, result.Status == release.Planned))
	if result.Record.Load != nil {
		r.Summary(Load(*result.Record.Load, result.History))
	}
	if doomed {
		r.Summary(dossier(failure))
	}
	if changed := changes(result.Changes); changed != "" {
		r.Summary(action.Details("Changes: "+deploy.Count(result.Changes), changed))
	}
}

// tellChanges writes into the log what a release changes, or would.
func tellChanges(r *action.Run, title string, changes []deploy.Change) {
	defer r.Group(title + ": " + deploy.Count(changes))()
	out := r.Foreign()
	for _, c := range changes {
		if c.Verb == deploy.Same {
			continue
		}
		_, _ = fmt.Fprintf(out, "%s %s\n%s", c.Verb, c.Object, c.Diff)
		if c.Diff != "" && !strings.HasSuffix(c.Diff, "\n") {
			_, _ = fmt.Fprintln(out)
		}
	}
}

func mark(s release.Status) string {
	switch s {
	case release.Succeeded, release.Unchanged:
		return "✅"
	case release.Planned, release.Underway:
		return "📝"
	case release.RolledBack:
		return "↩️"
	case release.Failed, release.Refused:
	}
	return "❌"
}

func sentence(result deploy.Result) string {
	switch result.Status {
	case release.Succeeded:
		return fmt.Sprintf("is release %d", result.Record.Revision)
	case release.Unchanged:
		return fmt.Sprintf("stays release %d: nothing to change", result.Record.Revision)
	case release.Planned:
		return "would change (dry run)"
	case release.RolledBack:
		if result.Record.Base == 0 {
			return fmt.Sprintf("failed; release %d was removed again", result.Record.Revision)
		}
		return fmt.Sprintf("failed; release %d was undone, release %d serves", result.Record.Revision, result.Record.Base)
	case release.Failed:
		if result.Record.Status == release.Succeeded {
			return fmt.Sprintf("is release %d, but a flag failed and was closed again", result.Record.Revision)
		}
		return fmt.Sprintf("failed in release %d", result.Record.Revision)
	case release.Refused, release.Underway:
	}
	return "was refused; nothing was changed"
}

func number(revision int) string {
	if revision == 0 {
		return "–"
	}
	return strconv.Itoa(revision)
}

func before(r release.Record) string {
	if r.Revision == 0 {
		return "–"
	}
	return fmt.Sprintf("release %d %s", r.Revision, action.Code(short(r.Image)))
}

func took(r release.Record) string {
	if r.Ended.IsZero() || r.Started.IsZero() {
		return "–"
	}
	return r.Ended.Sub(r.Started).Round(100 * time.Millisecond).String()
}

// short is an image with the first characters of its digest.
func short(image string) string {
	repository, digest, ok := strings.Cut(image, "@sha256:")
	if !ok || len(digest) < 12 {
		return image
	}
	return repository + "@sha256:" + digest[:12]
}

func shortCommit(commit string) string {
	if len(commit) > 7 {
		return commit[:7]
	}
	return commit
}

func checks(results []analysis.Result) string {
	walked := slices.ContainsFunc(results, func(r analysis.Result) bool { return r.Step != "" })
	header := []string{"", "check", "measured", "why"}
	if walked {
		header = slices.Insert(header, 1, "step")
	}
	var rows [][]string
	for _, c := range results {
		row := []string{verdictMark(c.Verdict), action.Code(c.Check), action.Escape(c.Measured), action.Escape(c.Detail)}
		if walked {
			row = slices.Insert(row, 1, action.Escape(c.Step))
		}
		rows = append(rows, row)
	}
	return action.Table(header, rows) + "\n"
}

func verdictMark(v analysis.Verdict) string {
	switch v {
	case analysis.Pass:
		return "✅"
	case analysis.Fail:
		return "❌"
	case analysis.Inconclusive:
	}
	return "❔"
}

func changes(all []deploy.Change) string {
	var rows [][]string
	var diffs strings.Builder
	for _, c := range all {
		if c.Verb == deploy.Same {
			continue
		}
		rows = append(rows, []string{string(c.Verb), action.Escape(c.Object.String())})
		if c.Diff != "" {
			diffs.WriteString(action.Fence("diff", c.Object.String()+"\n"+c.Diff))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return action.Table([]string{"", "object"}, rows) + "\n" + diffs.String()
}
