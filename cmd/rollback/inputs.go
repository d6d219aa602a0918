package main

import (
	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

var spec = action.New("rollback", action.Deploy, "Restore an earlier release of a service on Kubernetes, whole and in seconds; or show what was released")

var (
	to = action.Parsed(spec, "to", "text", "`previous` (the last that succeeded before the one live), a release number, an image digest, a commit (7 characters at least), or `live`: ends what a dead run left half done and changes nothing else",
		parseTo, action.Default("previous"), action.Example("12"))
	reason = spec.Text("reason", "why; kept in the history", action.Example("checkout answers 500"))
	list   = spec.Bool("list", "show the history and change nothing", action.Default("false"))
	in     = target.Declare(spec, "production")
)

func init() {
	spec.Output("restored-release", "the number of the release whose objects were restored")
	spec.Output("history", "the releases, newest first, JSON")
}

func parseTo(text string) (string, error) {
	if text == deploy.Live {
		return text, nil
	}
	return text, release.CheckTarget(text)
}

// back is the rollback that the inputs describe.
func back(r *action.Run) deploy.Back {
	record := in.Record(r, spec.Name, "")
	record.Reason = *reason
	return deploy.Back{To: *to, Record: record, Images: in.Images(r), DryRun: *in.DryRun}
}
