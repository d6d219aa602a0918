package rollout

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// statusGrace is how long a fresh object without any status is given until
// its controller has seen it; after that it has none, as many kinds have none.
const statusGrace = 3 * time.Second

// byConditions judges objects of kinds that are not known by the conventions
// for conditions: Ready, Available and the like say that it serves; Stalled
// and Failed that it never will; Reconciling and Progressing that it is on
// its way. A status about an older generation says nothing.
func (w *watched) byConditions() Judgement {
	j := Judgement{Want: 1}
	u := w.Workload
	observed, found, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if err == nil && found && observed < u.GetGeneration() {
		return j
	}
	conditions, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil || len(conditions) == 0 {
		if _, has := u.Object["status"]; !has && w.Now.Sub(w.changed) < statusGrace {
			return j
		}
		j.State, j.Ready = Serving, 1
		return j
	}
	going := false
	for _, raw := range conditions {
		c, ok := raw.(map[string]any)
		if !ok {
			continue
		}
		kind, _ := c["type"].(string)
		status, _ := c["status"].(string)
		reason, _ := c["reason"].(string)
		message, _ := c["message"].(string)
		if of, ok := c["observedGeneration"].(int64); ok && of < u.GetGeneration() {
			going = true
			continue
		}
		said := fmt.Sprintf("condition %s is %s: %s", kind, status, firstOf(message, reason, "no reason given"))
		switch kind {
		case "Stalled", "Failed":
			if status == "True" {
				w.add(trouble{state: Doomed, reason: ConditionFailed, detail: said})
			}
		case "Reconciling", "Progressing":
			going = going || (kind == "Reconciling" && status == "True")
		case "Ready", "Available", "Succeeded", "Complete", "Established":
			switch status {
			case "True":
				// it says so itself
			case "False":
				going = true
				w.add(trouble{state: Suspect, reason: ConditionFailed, detail: said})
			default:
				going = true
			}
		}
	}
	if len(w.troubles) == 0 && !going {
		// Conditions of other names only: nothing in them speaks against it.
		j.State, j.Ready = Serving, 1
	}
	return j
}
