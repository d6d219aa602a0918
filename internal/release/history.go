package release

import (
	"cmp"
	"errors"
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
// succeeded or was left there though it failed, or what the newest undo
// returned to. Releases under way do not count: until they end, the one before
// them is what an undo returns to.
func (h History) Live() (Record, bool) {
	for _, r := range h {
		switch {
		case r.Status == Succeeded || r.Status == Failed:
			return r, true
		case r.Status == RolledBack && r.TookBack:
			return h.Revision(r.Base)
		}
	}
	return Record{}, false
}

// Good is the newest release that succeeded.
func (h History) Good() (Record, bool) {
	return h.good(func(Record) bool { return true })
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

// Ended is the newest release that has ended.
func (h History) Ended() (Record, bool) {
	return h.first(func(r Record) bool { return r.Status != Underway })
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
// before the one live, whatever that one is: after a rollback it is the
// release that was rolled back), a release number, an image digest (alone or
// behind its repository), or a commit of at least seven characters. A digest or
// a commit finds the newest release that succeeded with it. Only releases that
// succeeded are found; the error says what there is instead.
func (h History) Find(to string) (Record, error) {
	live, ok := h.Live()
	if !ok {
		return Record{}, errors.New("no release has succeeded yet")
	}
	if to == "previous" {
		r, found := h.good(func(r Record) bool { return r.Revision < live.Revision })
		if !found {
			return Record{}, fmt.Errorf("release %d is live and no release before it succeeded", live.Revision)
		}
		return r, nil
	}
	if err := CheckTarget(to); err != nil {
		return Record{}, fmt.Errorf("%q: %w", to, err)
	}
	var want func(Record) bool
	if n, ok := number(to); ok {
		if r, found := h.Revision(n); found && r.Status != Succeeded {
			return Record{}, fmt.Errorf("release %d did not succeed: its status is %s", n, r.Status)
		}
		want = func(r Record) bool { return r.Revision == n }
	} else if digest, ok := digest(to); ok {
		want = func(r Record) bool { return strings.HasSuffix(r.Image, "@"+digest) }
	} else {
		commit := strings.ToLower(to)
		want = func(r Record) bool { return strings.HasPrefix(strings.ToLower(r.Commit), commit) }
	}
	r, found := h.good(want)
	if !found {
		return Record{}, fmt.Errorf("no release %s in the history: it holds %s", to, h.span())
	}
	return r, nil
}

// CheckTarget says whether Find knows what is meant by to.
func CheckTarget(to string) error {
	_, isNumber := number(to)
	_, isDigest := digest(to)
	if to == "previous" || isNumber || isDigest || isCommit(strings.ToLower(to)) {
		return nil
	}
	return errors.New("expected previous, a release number, an image digest (sha256:…) or a commit of at least 7 characters")
}

// good finds the newest that succeeded and is wanted.
func (h History) good(want func(Record) bool) (Record, bool) {
	return h.first(func(r Record) bool { return r.Status == Succeeded && want(r) })
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

// Barrier is the newest barrier after a release, which a rollback to it would
// go behind. A release that failed counts as well: its Job had run.
func (h History) Barrier(after int) (Record, bool) {
	return h.first(func(r Record) bool { return r.Barrier && r.Revision > after })
}

// Loaded is the newest release with a load test of the kind that is live or
// came before it. After a rollback what was taken back does not count.
func (h History) Loaded(text string) (Record, bool) {
	live, _ := h.Live()
	newest := live.Revision
	if live.Restored > 0 {
		newest = live.Restored
	}
	return h.good(func(r Record) bool { return r.Revision <= newest && r.Load != nil && r.Load.Text == text })
}

// Surplus is the releases that need not be kept, oldest first. Kept are the
// newest keep, the live one, the last three that succeeded, those under way
// and the ones that these return to, and every barrier after any of them: a
// rollback that does not find it would go behind it.
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
	older := false // one is kept
	for _, r := range slices.Backward(h) {
		if needed[r.Revision] || older && r.Barrier {
			older = true
			continue
		}
		surplus = append(surplus, r)
	}
	return surplus
}

// number reads a release number. Seven digits and more are a commit.
func number(s string) (int, bool) {
	if len(s) > 6 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n > 0
}

// digest reads sha256:… or repository@sha256:….
func digest(s string) (string, bool) {
	if i := strings.LastIndexByte(s, '@'); i > 0 {
		s = s[i+1:]
	}
	hexadecimal, ok := strings.CutPrefix(s, "sha256:")
	return s, ok && len(hexadecimal) == 64 && isHex(hexadecimal)
}

func isCommit(s string) bool { return len(s) >= 7 && len(s) <= 64 && isHex(s) }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
