package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/build"
	"github.com/fibership/fibership/internal/gobuild"
)

// report gives outputs and summary of a build, however far it came.
func report(r *action.Run, plan build.Plan, result build.Result, failure error) error {
	err := errors.Join(outputs(r, plan, result), writeJUnit(plan.Source, result.Tests))
	r.Summary(summary(plan, result, failure))
	return err
}

// writeJUnit writes the file that the input junit asks for, where tests ran. A
// path in the repository leads out of it by no link: we are root.
func writeJUnit(source gobuild.Source, tests *gobuild.Tests) error {
	if *junit == "" || tests == nil {
		return nil
	}
	folder, file := source.Dir, filepath.Clean(*junit)
	if filepath.IsAbs(file) {
		folder, file = filepath.Split(file)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("write the input junit: %w", err)
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(file), 0o755); err != nil { // #nosec G301 -- in the checkout, for later steps
		return fmt.Errorf("write the input junit: %w", err)
	}
	out, err := root.Create(file)
	if err != nil {
		return fmt.Errorf("write the input junit: %w", err)
	}
	return errors.Join(tests.WriteJUnit(out), out.Close())
}

func outputs(r *action.Run, plan build.Plan, result build.Result) error {
	r.Set("repository", plan.Repository.Name())
	if result.Tests != nil {
		tests, err := json.Marshal(result.Tests)
		if err != nil {
			return err
		}
		r.Set("tests", string(tests))
		if result.Tests.Coverage >= 0 {
			r.Set("coverage", percent(result.Tests.Coverage))
		}
	}
	if result.Image.DigestStr() == "" {
		return nil
	}
	platforms, err := json.Marshal(result.Platforms)
	if err != nil {
		return err
	}
	r.Set("digest", result.Image.DigestStr())
	r.Set("platforms", string(platforms))
	r.Set("size", strconv.FormatInt(result.Size, 10))
	// What is not in the registry must not be handed to a deploy.
	if result.Pushed || !plan.Push {
		r.Set("image", result.Image.Name())
	}
	if result.Pushed {
		r.Set("changed", strconv.FormatBool(result.Changed))
		r.Set("tags", tagLines(result))
	}
	return nil
}

func tagLines(result build.Result) string {
	lines := make([]string, len(result.Tags))
	for i, tag := range result.Tags {
		lines[i] = tag.TagStr()
	}
	return strings.Join(lines, "\n")
}

func percent(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

func summary(plan build.Plan, result build.Result, failure error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", headline(plan, result, failure))
	rows := [][]string{{"repository", action.Code(plan.Repository.Name())}}
	if result.Image.DigestStr() != "" {
		rows = append(rows, []string{"digest", action.Code(result.Image.DigestStr())},
			[]string{"size", megabytes(result.Size) + " compressed" + sinceLast(result)})
	}
	if len(result.Tags) > 0 {
		rows = append(rows, []string{"tags", action.Code(strings.ReplaceAll(tagLines(result), "\n", ", "))})
	}
	if t := result.Tests; t != nil {
		counts := testCounts(*t)
		if result.TestsReused {
			counts += " (passed before for the same files)"
		}
		rows = append(rows, []string{"tests", counts})
		if t.Coverage >= 0 {
			rows = append(rows, []string{"coverage", percent(t.Coverage)})
		}
	} else if plan.Suite == nil {
		rows = append(rows, []string{"tests", "skipped by input"})
	} else {
		rows = append(rows, []string{"tests", "not run"})
	}
	b.WriteString(action.Table([]string{"", ""}, rows) + "\n")
	if t := result.Tests; t != nil {
		b.WriteString(testDetails(*t))
	}
	b.WriteString(imageDetails(result))
	return b.String()
}

// headline is the verdict in a few words.
func headline(plan build.Plan, result build.Result, failure error) string {
	var (
		compile  *gobuild.CompileError
		test     *gobuild.TestError
		coverage *gobuild.CoverageError
	)
	switch {
	case errors.As(failure, &compile):
		return "❌ Does not compile; nothing was pushed"
	case errors.As(failure, &test):
		return "❌ Tests failed; nothing was pushed"
	case errors.As(failure, &coverage):
		return "❌ Too little is covered; nothing was pushed"
	case failure != nil:
		return "❌ Image was not built or not pushed whole"
	case !plan.Push:
		return "✅ Image built, not pushed"
	case !result.Changed:
		return "✅ Image unchanged"
	default:
		return "✅ Image pushed"
	}
}

func testCounts(t gobuild.Tests) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped in %.1f s", t.Passed, t.Failed, t.Skipped, t.Seconds)
}

func testDetails(t gobuild.Tests) string {
	var b strings.Builder
	for i, f := range t.Failures {
		if i == 10 {
			fmt.Fprintf(&b, "%d more failures are in the log.\n\n", len(t.Failures)-i)
			break
		}
		b.WriteString(action.Details(f.String(), action.Fence("", tail(f.Output, 4096))))
	}
	rows := make([][]string, len(t.Slowest))
	for i, c := range t.Slowest {
		rows[i] = []string{action.Code(c.String()), fmt.Sprintf("%.2f s", c.Seconds)}
	}
	if len(rows) > 0 {
		b.WriteString(action.Details("Slowest tests", action.Table([]string{"test", "time"}, rows)))
	}
	return b.String()
}

func imageDetails(result build.Result) string {
	if len(result.Layers) == 0 {
		return ""
	}
	rows := make([][]string, len(result.Layers))
	columns := []string{"layer", "compressed"}
	if result.Previous != nil {
		columns = append(columns, "since "+action.Code(result.Previous.Tag.TagStr()))
	}
	for i, layer := range result.Layers {
		rows[i] = []string{action.Escape(layer.What), megabytes(layer.Size)}
		if result.Previous != nil {
			rows[i] = append(rows[i], layerChange(*result.Previous, i, result.Layers))
		}
	}
	return action.Details("Layers", action.Table(columns, rows))
}

// sinceLast tells how the image has grown since the one before.
func sinceLast(result build.Result) string {
	if result.Previous == nil {
		return ""
	}
	return fmt.Sprintf(" (%s since %s, which was %s)", difference(result.Size-result.Previous.Size),
		action.Code(result.Previous.Tag.TagStr()), action.Code(result.Previous.Digest.Hex[:12]))
}

// layerChange tells what became of layer i: by its digest, else by its place.
func layerChange(previous build.Previous, i int, layers []build.Layer) string {
	for _, old := range previous.Layers {
		if old.Digest == layers[i].Digest {
			return "unchanged"
		}
	}
	if len(previous.Layers) != len(layers) {
		return "new"
	}
	return difference(layers[i].Size - previous.Layers[i].Size)
}

func difference(n int64) string {
	if n == 0 {
		return "same size"
	}
	return fmt.Sprintf("%+.2f kB", float64(n)/1e3)
}

func megabytes(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }

// tail is the end of a text, where a failure mostly says why.
func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "…" + strings.ToValidUTF8(text[len(text)-n:], "")
}
