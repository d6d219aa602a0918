package history

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// Those who wait stand in line in an annotation of the Lease, the next one
// first. Nobody proves there that he is still alive; a free lock is instead
// offered to one after the other, for a turn each, so that the dead are passed
// over and forgotten.
const annotationWaiting = "fibership.dev/waiting"

// maxWaiting bounds the line; more wait without a place in it.
const maxWaiting = 100

// line is the identities of those who wait.
type line []string

func lineOf(lease *coordinationv1.Lease) line {
	var l line
	if json.Unmarshal([]byte(lease.Annotations[annotationWaiting]), &l) != nil {
		return nil // someone's scribble; whoever waits stands in line anew
	}
	return l[:min(len(l), maxWaiting)]
}

// write also forgets who asked and has gone.
func (l line) write(lease *coordinationv1.Lease) {
	asksOf(lease).of(l).write(lease)
	if len(l) == 0 {
		delete(lease.Annotations, annotationWaiting)
		return
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return // strings can always be encoded
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[annotationWaiting] = string(raw)
}

// place counts from 0; who is not in line comes after all others.
func (l line) place(id string) int {
	if i := slices.Index(l, id); i >= 0 {
		return i
	}
	return len(l)
}

// after is the line behind id: he and those before him are gone from it.
func (l line) after(id string) line {
	return l[min(l.place(id)+1, len(l)):]
}

func (l line) without(id string) line {
	return slices.DeleteFunc(slices.Clone(l), func(other string) bool { return other == id })
}

// move is what someone who waits does next.
type move int

const (
	stay  move = iota
	enter      // stand in line
	take       // take the lock
)

// fewPolls is how many may come between two looks of one who looks on.
const fewPolls = 3

// sight is what was last seen of a lock, and since when on the observer's own
// clock. Clocks of two machines are never compared: a lock has expired when
// its record has not changed for the time that it is good for, while we
// looked on.
type sight struct {
	shown struct {
		holder      string
		renewed     time.Time
		transitions int32
	}
	since  time.Time
	looked time.Time // the last time
}

// look takes in what the lease shows. What passed since the last look counts
// as one poll only where it is more than a few: the API was away, perhaps from
// the holder too, and that a lock is not renewed then says nothing of him.
func (s *sight) look(lease *coordinationv1.Lease, now time.Time, poll time.Duration) {
	blind := now.Sub(s.looked)
	s.looked = now
	shown := s.shown
	shown.holder, shown.renewed, shown.transitions = holderOf(lease), time.Time{}, 0
	if lease.Spec.RenewTime != nil {
		shown.renewed = lease.Spec.RenewTime.UTC()
	}
	if lease.Spec.LeaseTransitions != nil {
		shown.transitions = *lease.Spec.LeaseTransitions
	}
	switch {
	case s.since.IsZero() || shown != s.shown:
		s.shown, s.since = shown, now
	case blind > fewPolls*poll:
		s.since = s.since.Add(blind - poll)
	}
}

// free says for how long the lock has been there for the taking; negative
// while it is held. good is how long a lock is good without being renewed.
func (s *sight) free(now time.Time, good time.Duration) time.Duration {
	if s.shown.holder == "" {
		return now.Sub(s.since)
	}
	return now.Sub(s.since) - good
}

// next decides the move of id, who sees the lock free for so long.
func (l line) next(id, holder string, free, turn time.Duration) move {
	switch place := l.place(id); {
	case holder == id: // taken by a write whose answer was lost
		return take
	case free >= 0 && free >= time.Duration(place)*turn:
		return take
	case place == len(l) && place < maxWaiting:
		return enter
	}
	return stay
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// person is an identity without what was added to make it unique.
func person(id string) string {
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		return id[:i]
	}
	return id
}
