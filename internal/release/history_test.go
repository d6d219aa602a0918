package release_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/release"
)

const (
	one   = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	two   = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	three = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
)

func record(revision int, status release.Status, digest, commit string) release.Record {
	return release.Record{Service: "orders", Revision: revision, Status: status, Image: "ghcr.io/acme/orders@" + digest, Commit: commit}
}

// past is a history with something of everything, newest first.
func past() release.History {
	h := release.History{
		record(1, release.Succeeded, one, "aaaaaaa1"),
		record(2, release.Succeeded, two, "bbbbbbb2"),
		record(3, release.RolledBack, three, "ccccccc3"),
		record(4, release.Succeeded, one, "aaaaaaa1"),
		record(5, release.Succeeded, two, "1234567890"),
		record(6, release.Underway, three, "ccccccc3"),
	}
	h.Sort()
	return h
}

func TestFind_resolvesTheWordsOfARollback(t *testing.T) {
	left := append(release.History{record(7, release.Failed, three, "ddddddd7")}, past()[1:]...)
	for _, test := range []struct {
		what string
		in   release.History
		to   string
		want int
		err  string
	}{
		{what: "previous is the last good one before the live one", in: past(), to: "previous", want: 4},
		{what: "a failed release that was left is live", in: left, to: "previous", want: 5},
		{what: "number", in: past(), to: "2", want: 2},
		{what: "the live one may be named", in: past(), to: "5", want: 5},
		{what: "digest finds the newest", in: past(), to: one, want: 4},
		{what: "digest behind its repository", in: past(), to: "ghcr.io/acme/orders@" + two, want: 5},
		{what: "commit", in: past(), to: "bbbbbbb", want: 2},
		{what: "commit in capitals", in: past(), to: "BBBBBBB2", want: 2},
		{what: "commit of digits alone", in: past(), to: "1234567", want: 5},
		{what: "no release", in: nil, to: "previous", err: "no release has succeeded yet"},
		{what: "only one", in: past()[5:], to: "previous", err: "release 1 is live and no release before it succeeded"},
		{what: "number of one that did not succeed", in: past(), to: "3", err: "release 3 did not succeed: its status is rolled-back"},
		{what: "number that is not there", in: past(), to: "17", err: "no release 17 in the history: it holds releases 1 to 6, 4 of them succeeded"},
		{what: "digest that did not succeed", in: past(), to: three, err: "no release " + three + " in the history"},
		{what: "commit that did not succeed", in: past(), to: "ccccccc3", err: "no release ccccccc3 in the history"},
		{what: "half a digest", in: past(), to: one[:20], err: "expected previous"},
		{what: "short commit", in: past(), to: "bbbbbb", err: "expected previous"},
		{what: "nothing", in: past(), to: "", err: "expected previous"},
		{what: "signed number", in: past(), to: "+2", err: "expected previous"},
		{what: "zero", in: past(), to: "0", err: "expected previous"},
		{what: "other case", in: past(), to: "Previous", err: "expected previous"},
	} {
		t.Run(test.what, func(t *testing.T) {
			got, err := test.in.Find(test.to)
			switch {
			case test.err == "" && err != nil:
				t.Fatalf("Find(%q): %v", test.to, err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
				t.Fatalf("Find(%q): error %v, want %q", test.to, err, test.err)
			case got.Revision != test.want:
				t.Errorf("Find(%q) is release %d, want %d", test.to, got.Revision, test.want)
			}
		})
	}
}

func FuzzFind_givesOnlyWhatSucceeded(f *testing.F) {
	for _, to := range []string{"previous", "4", one, "x@" + two, "aaaaaaa", "0", "@", "sha256:", "9999999"} {
		f.Add(to)
	}
	f.Fuzz(func(t *testing.T, to string) {
		h := past()
		r, err := h.Find(to)
		if err != nil {
			if r.Revision != 0 || !strings.Contains(err.Error(), to) && !strings.Contains(err.Error(), fmt.Sprintf("%q", to)) && len(strings.TrimLeft(to, "0")) == len(to) {
				t.Fatalf("Find(%q) = release %d with the error %q", to, r.Revision, err)
			}
			return
		}
		named := to == "previous" || strings.TrimLeft(to, "0") == fmt.Sprint(r.Revision) ||
			strings.HasSuffix(to, r.Image[strings.Index(r.Image, "sha256:"):]) || strings.HasPrefix(r.Commit, strings.ToLower(to))
		if r.Status != release.Succeeded || !named {
			t.Fatalf("Find(%q) is release %d, which %s", to, r.Revision, r.Status)
		}
	})
}

func TestHistory_knowsWhatIsLive(t *testing.T) {
	h := past()
	live, _ := h.Live()
	good, _ := h.Good()
	newest, _ := h.Newest()
	if live.Revision != 5 || good.Revision != 5 || newest.Revision != 6 || h.Next() != 7 {
		t.Errorf("live %d, good %d, newest %d, next %d; want 5, 5, 6, 7", live.Revision, good.Revision, newest.Revision, h.Next())
	}
	if under := h.Underway(); len(under) != 1 || under[0].Revision != 6 {
		t.Errorf("under way: %v", revisions(under))
	}
	if between := revisions(h.Between(2, 5)); !slices.Equal(between, []int{5, 4, 3}) {
		t.Errorf("between 2 and 5: %v", between)
	}
	h = append(release.History{record(7, release.Failed, three, "")}, h...)
	live, _ = h.Live()
	good, _ = h.Good()
	if live.Revision != 7 || good.Revision != 5 {
		t.Errorf("after a failure that was left, live is %d and good %d; want 7 and 5", live.Revision, good.Revision)
	}
	if n := (release.History{}).Next(); n != 1 {
		t.Errorf("the first release is %d", n)
	}
}

func TestSurplus_keepsWhatMayBeNeededAgain(t *testing.T) {
	var long release.History
	for n := 30; n >= 1; n-- {
		long = append(long, record(n, release.Succeeded, one, ""))
	}
	unlucky := slices.Clone(long)
	for i := range unlucky[:25] {
		unlucky[i].Status = release.RolledBack // only 5 to 1 succeeded
	}
	killed := slices.Clone(unlucky)
	killed[28].Status, killed[28].Base = release.Underway, 1 // 2
	left := slices.Clone(unlucky)
	left[24].Status = release.Failed // 6 is live
	barred := slices.Clone(unlucky)
	barred[22].Barrier, barred[28].Barrier = true, true // 8, which was undone, and 2
	// 30 is live, 8 was left, 9 was undone and 3 is older than what is kept.
	fixed := slices.Clone(unlucky)
	fixed[0].Status, fixed[22].Status = release.Succeeded, release.Failed
	fixed[21].Barrier, fixed[22].Barrier, fixed[27].Barrier = true, true, true

	for _, test := range []struct {
		what string
		in   release.History
		keep int
		want []int
	}{
		{"all fit", long, 30, nil},
		{"the newest are kept", long, 28, []int{1, 2}},
		{"three that succeeded are kept always", long, 0, upTo(27)},
		{"however long ago they succeeded", unlucky, 25, []int{1, 2}},
		{"what is under way is kept, and what it returns to", killed, 25, nil},
		{"a failure that was left is live", left, 20, []int{1, 2, 7, 8, 9, 10}},
		{"a barrier is kept while one before it can be restored", barred, 20, []int{1, 2, 6, 7, 9, 10}},
		{"and so are all, whatever became of them", fixed, 20, []int{1, 2, 3, 6, 7, 10}},
	} {
		t.Run(test.what, func(t *testing.T) {
			if got := revisions(test.in.Surplus(test.keep)); !slices.Equal(got, test.want) {
				t.Errorf("surplus: %v, want %v", got, test.want)
			}
		})
	}
}

func revisions(records []release.Record) []int {
	var n []int
	for _, r := range records {
		n = append(n, r.Revision)
	}
	return n
}

func upTo(n int) []int {
	var all []int
	for i := 1; i <= n; i++ {
		all = append(all, i)
	}
	return all
}

func TestLive_isWhatAnUndoReturnedTo(t *testing.T) {
	t.Parallel()
	good := release.Record{Revision: 1, Status: release.Succeeded}
	kept := release.Record{Revision: 2, Status: release.Failed}
	for name, c := range map[string]struct {
		h    release.History
		want int // 0: nothing is live
	}{
		"undone before it touched anything": {release.History{{Revision: 3, Status: release.RolledBack, Base: 1}, kept, good}, 2},
		"undone past a kept failure":        {release.History{{Revision: 3, Status: release.RolledBack, Base: 1, TookBack: true}, kept, good}, 1},
		"undone to nothing":                 {release.History{{Revision: 3, Status: release.RolledBack, TookBack: true}, kept}, 0},
		"one more since":                    {release.History{{Revision: 4, Status: release.Succeeded}, {Revision: 3, Status: release.RolledBack, Base: 1, TookBack: true}, kept, good}, 4},
		"one under way":                     {release.History{{Revision: 4, Status: release.Underway}, {Revision: 3, Status: release.RolledBack, Base: 1, TookBack: true}, kept, good}, 1},
	} {
		if live, _ := c.h.Live(); live.Revision != c.want {
			t.Errorf("%s: release %d is live, want %d", name, live.Revision, c.want)
		}
	}
}
