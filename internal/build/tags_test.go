package build

import (
	"strings"
	"testing"
)

func TestTags_followFromTheEvent(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		origin Origin
		want   string
	}{
		"default branch":          {Origin{Commit: commit, Branch: "main", DefaultBranch: "main"}, "sha-0123456 main latest"},
		"other branch":            {Origin{Commit: commit, Branch: "feature/x y", DefaultBranch: "main"}, "sha-0123456 feature-x-y"},
		"branch, default unknown": {Origin{Commit: commit, Branch: "main"}, "sha-0123456 main"},
		"pull request":            {Origin{Commit: commit, PullRequest: 12, DefaultBranch: "main"}, "sha-0123456 pr-12"},
		"version":                 {Origin{Commit: commit, Tag: "v1.2.3", DefaultBranch: "main"}, "sha-0123456 1.2.3 1.2 1"},
		"version 0":               {Origin{Commit: commit, Tag: "v0.2.3"}, "sha-0123456 0.2.3 0.2"},
		"pre-release":             {Origin{Commit: commit, Tag: "v1.2.3-rc.1"}, "sha-0123456 1.2.3-rc.1"},
		"build metadata":          {Origin{Commit: commit, Tag: "v1.2.3+linux"}, "sha-0123456 1.2.3 1.2 1"},
		"tag that is no version":  {Origin{Commit: commit, Tag: "nightly"}, "sha-0123456 nightly"},
		"branch of odd letters":   {Origin{Commit: commit, Branch: "-.ü/x"}, "sha-0123456 x"},
		"terminal":                {Origin{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(c.origin.Tags(), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
