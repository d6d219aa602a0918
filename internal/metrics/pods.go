package metrics

import "github.com/fibership/fibership/internal/progress"

// Pods is a Source that reads what each pod tells at path on port.
func Pods(to Reacher, port int, path string, names Names, log progress.Log) Source { return none{} }
