package gobuild

import "testing"

func TestRace_isAskedForInEverySpelling(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]bool{
		"-race": true, "--race": true, "-race=true": true, "-race=1": true, "-race=false": false, "-race=maybe": false, "-run=race": false, "-v": false,
	} {
		if race(flag) != want {
			t.Errorf("%s: %t", flag, race(flag))
		}
	}
}
