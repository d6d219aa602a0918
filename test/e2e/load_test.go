package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/runner"
)

// tool is the deploy image, as far as load workers need it.
func tool(t *testing.T) string {
	t.Helper()
	return testcluster.PushProgram(t, "e2e/tool", filepath.Join(bin, "deploy-staging"), "usr/local/bin/deploy-staging")
}

// verdicts is the output checks, by check.
func verdicts(t *testing.T, o runner.Outcome) map[string]analysis.Verdict {
	t.Helper()
	found := map[string]analysis.Verdict{}
	for _, result := range decode[[]analysis.Result](t, o.Outputs["checks"]) {
		found[result.Check] = result.Verdict
	}
	return found
}

// What it measures is judged, so it does not share the machine: one request in
// twenty that the baseline had to wait for as long as the slow version takes, and
// rightly nothing is told by the slowest twentieth.
func TestLoad_fromTheClusterIsMergedJudgedAndKept(t *testing.T) {
	p := newPlaceAlone(t)
	inputs := map[string]string{
		"load": "rate=100 duration=3s warm-up=1s path=/ workers=2", "tool-image": tool(t),
		"thresholds": "error-rate < 1%\np95 < 2s\nrate >= 50/s\nrestarts < 1\np95 worse-than baseline by 500ms",
	}
	one := p.image("1")
	o := p.deploy(one, inputs)
	record := decode[release.Record](t, o.Outputs["record"])
	if l := record.Load; l == nil || l.Requests != 300 || l.Latency.Count() != l.Requests || l.Errors != 0 || l.Against != 0 {
		t.Errorf("load = %+v", l)
	}
	// The rollout, the smoke test and five thresholds, of which one has nothing to compare with yet.
	if n := len(record.Checks); n != 7 || !record.Checks[n-1].Exempt || !strings.Contains(record.Checks[n-1].Detail, "nothing to compare with") {
		t.Errorf("checks = %+v", record.Checks)
	}
	contains(t, o.Log, "all 2 workers are ready", "requests by worker")
	contains(t, o.Summary, "xychart-beta", "p99")
	if kept := p.history("staging", p.staging)[0].Load; kept == nil || kept.Requests != record.Load.Requests {
		t.Errorf("the record keeps %+v", kept)
	}
	if left := p.jobs(p.staging); len(left) > 0 {
		t.Errorf("Jobs %v are left", left)
	}

	o = p.run(1, "deploy-staging", with(with(inputs, "image", p.image("2")), "env", "LATENCY=700ms"))
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "2"})
	if verdict := verdicts(t, o)["p95 worse-than baseline by 500ms"]; verdict != analysis.Fail {
		t.Errorf("p95 against the baseline: %v, want fail", verdict)
	}
	contains(t, o.Summary, "the line is release 1")
	if images := p.images(p.staging); len(images) != 1 || images[0] != one {
		t.Errorf("pods run %v, want %s alone", images, one)
	}
}

func TestLoad_fromTheRunnerFailsOnErrors(t *testing.T) {
	p := newPlace(t)
	inputs := map[string]string{"load": "rate=50 duration=3s warm-up=0s path=/", "load-from": "runner", "thresholds": "error-rate < 5%\np50 < 2s"}
	o := p.deploy(p.image("1"), inputs)
	if l := decode[release.Record](t, o.Outputs["record"]).Load; l == nil || l.Requests != 150 || l.Errors != 0 {
		t.Errorf("load = %+v", l)
	}
	o = p.run(1, "deploy-staging", with(with(inputs, "image", p.image("2")), "env", "FAIL_RATE=0.2"))
	outputs(t, o, map[string]string{"status": "rolled-back"})
	if verdict := verdicts(t, o)["error-rate < 5%"]; verdict != analysis.Fail {
		t.Errorf("error rate: %v, want fail", verdict)
	}
}

func TestLoad_wrongInputsAreToldBeforeAnything(t *testing.T) {
	p := newPlace(t)
	o := p.run(2, "deploy-staging", map[string]string{"image": p.image("1"), "load": "rate=fast", "thresholds": "p95 < fast\nquery(\"up\") > 0", "load-from": "moon"})
	contains(t, strings.Join(o.Errors(), "\n"), "load", "rate=", "thresholds", "load-from")
	o = p.run(2, "deploy-staging", map[string]string{"image": p.image("1"), "thresholds": "p95 < 1s"})
	contains(t, strings.Join(o.Errors(), "\n"), "thresholds", "expected the input load beside them")
	p.nothing(p.staging)
}
