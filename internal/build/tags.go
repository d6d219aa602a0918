package build

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Origin is where a build comes from, as far as tags tell it.
type Origin struct {
	Commit        string // of the head; of a pull request its head, not the merge
	Branch        string // empty for a tag and for a pull request
	Tag           string // v1.2.3
	DefaultBranch string
	PullRequest   int // 0 for none
}

// semver is the version that a v* tag names. Source: semver.org.
var semver = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// Tags derives an image's tags: the commit, then the branch, pull request or
// versions, and latest on the default branch. A pre-release moves no shorter
// version, and no one is led to a major version 0.
func (o Origin) Tags() []string {
	var tags []string
	if len(o.Commit) >= 7 {
		tags = append(tags, "sha-"+o.Commit[:7])
	}
	switch {
	case o.PullRequest > 0:
		tags = append(tags, fmt.Sprintf("pr-%d", o.PullRequest))
	case o.Tag != "":
		m := semver.FindStringSubmatch(o.Tag)
		switch {
		case m == nil:
			tags = append(tags, o.Tag)
		case m[4] != "":
			tags = append(tags, m[1]+"."+m[2]+"."+m[3]+m[4])
		default:
			tags = append(tags, m[1]+"."+m[2]+"."+m[3], m[1]+"."+m[2])
			if m[1] != "0" {
				tags = append(tags, m[1])
			}
		}
	case o.Branch != "":
		tags = append(tags, o.Branch)
		if o.Branch == o.DefaultBranch {
			tags = append(tags, "latest")
		}
	}
	for i := range tags {
		tags[i] = tagName(tags[i])
	}
	return slices.DeleteFunc(tags, func(tag string) bool { return tag == "" })
}

var noTag = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// tagName makes of any name one that registries take: feature/x becomes
// feature-x.
func tagName(text string) string {
	text = strings.TrimLeft(noTag.ReplaceAllString(text, "-"), ".-")
	return text[:min(len(text), 128)]
}
