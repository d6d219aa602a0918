package release

import (
	"maps"
	"slices"
	"time"
)

// Ramp is one flag that a release opened step by step, or that it took over
// as an earlier release's ramp had left it.
type Ramp struct {
	Flag       string    `json:"flag"`
	Variant    string    `json:"variant"`           // what those get whom it is open to
	Definition string    `json:"definition"`        // hash of what the flag file says of the flag
	Steps      []int     `json:"steps,omitempty"`   // shares in percent, rising; none where it was taken over
	Reached    int       `json:"reached"`           // the last share tried, in percent
	Outcome    Opened    `json:"outcome,omitempty"` // what it stands at
	Decided    time.Time `json:"decided,omitzero"`  // when it passed its last step or failed
	Failure    string    `json:"failure,omitempty"` // why it was closed, in a sentence
	Release    int       `json:"release,omitempty"` // whose ramp it was, where it was taken over
}

// Opened is what became of a flag's ramp.
type Opened string

// The outcomes. What was forgotten stands at what it was before.
const (
	NotOpened Opened = ""         // its ramp is under way or was not begun: as before it, once it has ended
	Open      Opened = "open"     // at Reached, having passed every step
	Closed    Opened = "closed"   // at 0 %: it failed at Reached
	Returned  Opened = "returned" // as before its ramp: another flag failed after it
	Taken     Opened = "kept"     // at Reached, as an earlier release's ramp had left it
)

// Share is what the flag is open to, in percent, as far as this ramp says;
// false where it says nothing.
func (r Ramp) Share() (int, bool) {
	switch r.Outcome {
	case Open, Taken:
		return r.Reached, true
	case Closed:
		return 0, true
	case NotOpened, Returned:
	}
	return 0, false
}

// Shares are the flags whose share was decided by a ramp, by name: the
// release's own, and those that it took over.
func (r Record) Shares() map[string]Ramp {
	shares := make(map[string]Ramp)
	for _, own := range []bool{false, true} {
		for _, ramp := range r.Ramp {
			percent, ok := ramp.Share()
			if !ok || own == (ramp.Outcome == Taken) {
				continue
			}
			kept := Ramp{Flag: ramp.Flag, Variant: ramp.Variant, Definition: ramp.Definition, Reached: percent, Outcome: Taken, Release: ramp.Release}
			if own {
				kept.Release = r.Revision
			}
			shares[ramp.Flag] = kept
		}
	}
	return shares
}

// Taken are the release's shares as another takes them over, by name.
func (r Record) Taken() []Ramp {
	shares := r.Shares()
	var taken []Ramp
	for _, flag := range slices.Sorted(maps.Keys(shares)) {
		taken = append(taken, shares[flag])
	}
	return taken
}
