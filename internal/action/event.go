package action

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Event is what the runner tells of the run (zero at a terminal).
// Source: https://docs.github.com/actions/reference/variables-reference
type Event struct {
	Name          string    // push, pull_request, schedule, workflow_dispatch, release …
	Repository    string    // owner/name
	SHA           string    // of the head commit: of a pull request the head, not the merge
	Committed     time.Time // when that commit was made; zero where the event does not say
	Ref           string    // refs/heads/main
	RefName       string    // main, v1.2.3, 12/merge
	RefType       string    // branch, tag
	DefaultBranch string    // of the repository
	PullRequest   int       // number, 0 where it is none
	Actor         string
	RunURL        string // link to this run
	APIURL        string
	ServerURL     string
	Workspace     string // folder of the checkout; the working directory at a terminal
	InActions     bool   // false at a terminal
}

// maxEvent is more than any event that GitHub delivers: it cuts them at 25 MB.
// Source: https://docs.github.com/webhooks/webhook-events-and-payloads
const maxEvent = 26 << 20

// payload is the part of the event file that is read.
type payload struct {
	Number      int `json:"number"`
	PullRequest *struct {
		Number int `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_request"`
	HeadCommit *struct {
		Timestamp time.Time `json:"timestamp"`
	} `json:"head_commit"`
	Repository struct {
		DefaultBranch string `json:"default_branch"`
	} `json:"repository"`
}

// readEvent reads GITHUB_* and the event file. The Event holds what could be
// read also where the error is not nil.
func readEvent(getenv func(string) string) (Event, error) {
	e := Event{
		Name:       getenv("GITHUB_EVENT_NAME"),
		Repository: getenv("GITHUB_REPOSITORY"),
		SHA:        getenv("GITHUB_SHA"),
		Ref:        getenv("GITHUB_REF"),
		RefName:    getenv("GITHUB_REF_NAME"),
		RefType:    getenv("GITHUB_REF_TYPE"),
		Actor:      getenv("GITHUB_ACTOR"),
		APIURL:     strings.TrimSuffix(getenv("GITHUB_API_URL"), "/"),
		ServerURL:  strings.TrimSuffix(getenv("GITHUB_SERVER_URL"), "/"),
		Workspace:  getenv("GITHUB_WORKSPACE"),
		InActions:  getenv("GITHUB_ACTIONS") == "true",
	}
	for prefix, kind := range map[string]string{"refs/heads/": "branch", "refs/tags/": "tag"} { // where a runner tells the ref alone
		if short, is := strings.CutPrefix(e.Ref, prefix); is {
			e.RefName, e.RefType = cmp.Or(e.RefName, short), cmp.Or(e.RefType, kind)
		}
	}
	if id := getenv("GITHUB_RUN_ID"); id != "" && e.ServerURL != "" && e.Repository != "" {
		e.RunURL = e.ServerURL + "/" + e.Repository + "/actions/runs/" + id
		if attempt := getenv("GITHUB_RUN_ATTEMPT"); attempt != "" && attempt != "1" {
			e.RunURL += "/attempts/" + attempt
		}
	}
	if e.Workspace == "" {
		e.Workspace, _ = os.Getwd()
	}
	path := getenv("GITHUB_EVENT_PATH")
	if path == "" {
		return e, nil
	}
	p, err := readPayload(path)
	if err != nil {
		return e, fmt.Errorf("read the event file: %w", err)
	}
	e.DefaultBranch = p.Repository.DefaultBranch
	if p.HeadCommit != nil {
		e.Committed = p.HeadCommit.Timestamp.UTC()
	}
	if p.PullRequest != nil {
		e.PullRequest = p.PullRequest.Number
		if e.PullRequest == 0 {
			e.PullRequest = p.Number
		}
		// GITHUB_SHA is a merge commit that exists nowhere but in this run.
		if p.PullRequest.Head.SHA != "" {
			e.SHA = p.PullRequest.Head.SHA
		}
	}
	return e, nil
}

func readPayload(path string) (payload, error) {
	var p payload
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxEvent+1))
	if err != nil {
		return p, err
	}
	if len(data) > maxEvent {
		return p, fmt.Errorf("%s is larger than %d bytes", path, maxEvent)
	}
	return p, json.Unmarshal(data, &p)
}
