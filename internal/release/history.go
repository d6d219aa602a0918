package release

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// History is the releases of one service in one environment, newest first.
type History []Record

// Sort puts the newest first.
func (h History) Sort() {
	slices.SortFunc(h, func(a, b Record) int { return cmp.Compare(b.Revision, a.Revision) })
}

// Live is the release whose objects are in the environment: the newest that
// succeeded or was left there though it failed. Releases under way do not
// count: until they end, the one before them is what an undo returns to.
func (h History) Live() (Record, bool) {
	return h.first(func(r Record) bool { return r.Status == Succeeded || r.Status == Failed })
}

// Good is the newest release that succeeded.
func (h History) Good() (Record, bool) {
	return h.first(func(r Record) bool { return r.Status == Succeeded })
}

// Underway is the releases that no run has ended yet, newest first.
func (h History) Underway() []Record {
	var found []Record
	for _, r := range h {
		if r.Status == Underway {
			found = append(found, r)
		}
	}
	return found
}

// Revision finds a release by its number.
func (h History) Revision(n int) (Record, bool) {
	return h.first(func(r Record) bool { return r.Revision == n })
}

// Newest is the newest release of whatever status.
func (h History) Newest() (Record, bool) {
	return h.first(func(Record) bool { return true })
}

// Next is the number of the release to come.
func (h History) Next() int {
	if len(h) == 0 {
		return 1
	}
	return h[0].Revision + 1
}

func (h History) first(want func(Record) bool) (Record, bool) {
	for _, r := range h {
		if want(r) {
			return r, true
		}
	}
	return Record{}, false
}

// Find resolves the words of a rollback: "previous" (the last that succeeded
// before the one live), a release number, an image digest, or a commit of at
// least seven characters. A digest or a commit finds the newest release that
// succeeded with it. The error says what is there instead.
func (h History) Find(to string) (Record, error) {
	live, ok := h.Live()
	if !ok {
		return Record{}, fmt.Errorf("there is no release yet")
	}
	var found bool
	var r Record
	switch {
	case to == "previous":
		r, found = h.first(func(r Record) bool { return r.Status == Succeeded && r.Revision < live.Revision })
		if !found {
			return Record{}, fmt.Errorf("release %d is live and no release before it succeeded", live.Revision)
		}
		return r, nil
	case isNumber(to):
		n, _ := strconv.Atoi(to)
		r, found = h.Revision(n)
		if found && r.Status != Succeeded {
			return Record{}, fmt.Errorf("release %d did not succeed: its status is %s", n, r.Status)
		}
	case strings.Contains(to, "sha256:"):
		digest := to[strings.Index(to, "sha256:"):]
		r, found = h.first(func(r Record) bool { return r.Status == Succeeded && strings.HasSuffix(r.Image, "@"+digest) })
	case isCommit(to):
		r, found = h.first(func(r Record) bool {
			return r.Status == Succeeded && strings.HasPrefix(strings.ToLower(r.Commit), strings.ToLower(to))
		})
	default:
		return Record{}, fmt.Errorf("%q is neither previous, a release number, an image digest (sha256:…) nor a commit of at least 7 characters", to)
	}
	if !found {
		return Record{}, fmt.Errorf("no release %s in the history: it holds %s", to, h.span())
	}
	return r, nil
}

// span tells in a few words which releases a history holds.
func (h History) span() string {
	good := 0
	for _, r := range h {
		if r.Status == Succeeded {
			good++
		}
	}
	return fmt.Sprintf("releases %d to %d, %d of them succeeded", h[len(h)-1].Revision, h[0].Revision, good)
}

// Between gives the releases newer than older and not newer than newer, newest
// first: what a rollback from newer to older takes back.
func (h History) Between(older, newer int) []Record {
	var between []Record
	for _, r := range h {
		if r.Revision > older && r.Revision <= newer {
			between = append(between, r)
		}
	}
	return between
}

// Surplus is the releases that need not be kept, oldest first. Kept are the
// newest keep, the live one, the last three that succeeded, those under way
// and the ones that these return to.
func (h History) Surplus(keep int) []Record {
	needed := map[int]bool{}
	if live, ok := h.Live(); ok {
		needed[live.Revision] = true
	}
	good := 0
	for i, r := range h {
		if r.Status == Succeeded {
			good++
		}
		if i < keep || r.Status == Underway || r.Status == Succeeded && good <= 3 {
			needed[r.Revision] = true
		}
		if r.Status == Underway {
			needed[r.Base] = true
		}
	}
	var surplus []Record
	for _, r := range slices.Backward(h) {
		if !needed[r.Revision] {
			surplus = append(surplus, r)
		}
	}
	return surplus
}

// isNumber: a release number is short; eight digits may be a commit.
func isNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && len(s) < 7
}

func isCommit(s string) bool {
	if len(s) < 7 || len(s) > 64 {
		return false
	}
	return strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}
