package e2e

import (
	"flag"
	"testing"

	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/kill"
)

var (
	killSample = flag.Int("kill.sample", 2, "how many points of each action are killed at; 0: every request, before and after")
	killLanes  = flag.Int("kill.lanes", 1, "how many points of each action are tried at once")
	killSeed   = flag.Uint64("kill.seed", 1, "chooses the sample")
	killFrom   = flag.Int("kill.from", 1, "the first request to kill at")
	killCancel = flag.Bool("kill.cancel", false, "cancel only, never kill")
	killOnly   = flag.String("kill.only", "", "kill only this one, such as \"promote canary\"")
)

// Every action is killed at requests to the API server; the next run, whatever
// it is, leaves one release, whole, and no user notices.
func TestKill_anywhereIsMendedByTheNextRun(t *testing.T) {
	t.Parallel()
	c, gateway := testcluster.New(t), testcluster.SharedGateway(t)
	m := &kill.Matrix{
		Gateway: kill.Gateway(gateway),
		Client:  c.Client, Bin: bin, Lanes: *killLanes, Sample: *killSample, Seed: *killSeed, OnlyCancel: *killCancel, From: *killFrom,
		Images: [2]string{testcluster.PushVersion(t, "e2e/web", "1"), testcluster.PushVersion(t, "e2e/web", "2")},
		Tell: func(tried kill.Tried) {
			t.Logf("%v: release %d, %v", tried, tried.Release.Revision, tried.Load)
			if tried.Err != nil {
				t.Errorf("%v: %v\nlogs:\n%s", tried, tried.Err, tried.Log)
			}
		},
	}
	for _, v := range kill.Victims {
		if *killOnly == "" || v.Name == *killOnly {
			m.Victims = append(m.Victims, v)
		}
	}
	report, err := m.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for victim, p := range report.Victims {
		t.Logf("%s makes %d requests", victim, p.Requests)
	}
	tried, _ := report.Points()
	if report.Reached*2 < tried || report.Sent == 0 {
		t.Errorf("only %d of %d points were reached, %d requests were sent", report.Reached, tried, report.Sent)
	}
	t.Logf("%d points, %d killed, %d failed; %d requests sent, %d lost", tried, report.Reached, report.Failed, report.Sent, report.Lost)
}
