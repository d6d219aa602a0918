package kill

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

// expected is the release that has to be live after the next run, by what the
// killed one has left in the history; without a number where the next run is
// to make one anew.
func expected(left release.History, v Victim, inputs map[string]string, next Next) (release.Record, error) {
	if next == Again && v.Action != "rollback" && v.Exit == 0 {
		return release.Record{Image: inputs["image"]}, nil
	}
	live, ok := left.Live()
	if !ok {
		return live, errors.New("nothing was live when the run was killed")
	}
	// A run that fails once more ends what it finds and leaves nothing of its own.
	settles := next == Settle || next == Again && (v.Exit != 0 || inputs["to"] == deploy.Live)
	newest, _ := left.Newest()
	switch {
	case newest.Status != release.Underway && settles:
		return live, nil
	case newest.Status != release.Underway: // it had ended: whoever asks for the one before means the one before it
		return left.Find(deploy.Previous)
	case !passed(newest.Step) && (settles || newest.Restored == 0):
		return live, nil
	case !passed(newest.Step): // a rollback that is made all the same
		return left.Find(deploy.Previous)
	case settles || newest.Restored > 0:
		return newest, nil
	}
	return live, nil // before the one that is finished first
}

// passed says whether a release at the step is finished by whoever comes next.
func passed(step string) bool {
	return step == deploy.StepFinish || strings.HasPrefix(step, deploy.StepRamp+" ")
}

// wants says what is wrong with the release that is live.
func wants(live, want release.Record) error {
	if live.Image != want.Image || want.Revision > 0 && live.Revision != want.Revision && live.Restored != want.Revision {
		return fmt.Errorf("release %d with %s is live (it restores release %d), want release %d with %s",
			live.Revision, live.Image, live.Restored, want.Revision, want.Image)
	}
	return nil
}
