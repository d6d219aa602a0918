package history

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// Whoever of the line cannot wait says so in a second annotation of the Lease:
// he asks the holder to give way, and stands before those who do not ask. The
// holder learns of it when he renews, since his renewal conflicts with the
// writing of the line.
const annotationAsking = "fibership.dev/asking"

// Ask is someone's request that the holder of a lock give way.
type Ask struct {
	By  string // as that one called itself
	Why string // may be empty
}

// asks is why those who ask do so, by identity.
type asks map[string]string

func asksOf(lease *coordinationv1.Lease) asks {
	var a asks
	if json.Unmarshal([]byte(lease.Annotations[annotationAsking]), &a) != nil {
		return nil // someone's scribble
	}
	return a
}

func (a asks) write(lease *coordinationv1.Lease) {
	if len(a) == 0 {
		delete(lease.Annotations, annotationAsking)
		return
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return // texts can always be encoded
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[annotationAsking] = string(raw)
}

// of leaves only those who stand in line.
func (a asks) of(l line) asks {
	a = maps.Clone(a)
	maps.DeleteFunc(a, func(id, _ string) bool { return !slices.Contains(l, id) })
	return a
}

// urge is the line with id in it before all who do not ask.
func (l line) urge(id string, a asks) line {
	i := slices.IndexFunc(l, func(other string) bool { _, asks := a[other]; return !asks })
	if i < 0 {
		i = len(l)
	}
	return slices.Insert(slices.Clone(l), i, id)
}

// asked is the first of the line who asks, if anyone does.
func asked(lease *coordinationv1.Lease) (Ask, bool) {
	a := asksOf(lease)
	for _, id := range lineOf(lease) {
		if why, asks := a[id]; asks {
			return Ask{By: shown(person(id)), Why: shown(why)}, true
		}
	}
	return Ask{}, false
}

// shown is a text fit to be shown: what can be printed of it, and not too much.
func shown(text string) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(clean); len(runes) > 100 {
		clean = string(runes[:100])
	}
	return clean
}
