package manifests

import "github.com/fibership/fibership/internal/progress"

// Lint warns of what costs requests during a rollout.
func Lint(objs []Object) []progress.Annotation { panic("being written") }
