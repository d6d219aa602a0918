package rollout

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// about gives the events about one object, newest first.
func (w *watched) about(uid types.UID, kind, name string) []*corev1.Event {
	var found []*corev1.Event
	for _, e := range w.Events {
		if e == nil {
			continue
		}
		// Without a UID on either side the name must do.
		o := e.InvolvedObject
		if o.Kind == kind && o.Name == name && (o.UID == uid || o.UID == "" || uid == "") {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b *corev1.Event) int { return lastSeen(b).Compare(lastSeen(a)) })
	return found
}

// lastSeen is when the event last happened: where that stands depends on the
// API group and age of who wrote it.
func lastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

func firstSeen(e *corev1.Event) time.Time {
	switch {
	case !e.FirstTimestamp.IsZero():
		return e.FirstTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}

// times is how often the event happened.
func times(e *corev1.Event) int {
	n := max(1, int(e.Count))
	if e.Series != nil {
		n = max(n, int(e.Series.Count))
	}
	return n
}

// containerOf reads "spec.containers{web}".
func containerOf(e *corev1.Event) string {
	_, name, ok := strings.Cut(e.InvolvedObject.FieldPath, "{")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(name, "}")
}

// sentenceBytes is how much of a foreign sentence is kept.
const sentenceBytes = 600

// short makes one line of bounded length of foreign text, without what
// obviously is a credential.
func short(s string) string {
	return cut(scrub(strings.Join(strings.Fields(s), " ")), sentenceBytes)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + " …"
}

func firstOf(s ...string) string {
	for _, s := range s {
		if s != "" {
			return short(s)
		}
	}
	return ""
}
