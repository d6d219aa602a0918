package workflows

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Outcome is what act told of a run.
type Outcome struct {
	Exit   int
	Raw    string // all that it wrote
	Took   time.Duration
	events []event
}

// event is a line of act's log.
type event struct {
	Job     string `json:"job"`   // workflow/job, the caller's before it
	JobID   string `json:"jobID"` // its key in the file
	Result  string `json:"jobResult"`
	Command string `json:"command"` // set-output, summary, …
	Name    string `json:"name"`
	Arg     string `json:"arg"`
	Content string `json:"content"` // of a summary
	Step    any    `json:"stepID"`  // its id, and those of the composite actions around it
	Message string `json:"msg"`
	Ended   string `json:"stepResult"`
}

func (o *Outcome) read(log []byte) error {
	for line := range bytes.Lines(log) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read act's log: %w in %q", err, line)
		}
		o.events = append(o.events, e)
	}
	return nil
}

// Jobs is how each job ended, by its key.
func (o Outcome) Jobs() map[string]string {
	jobs := map[string]string{}
	for _, e := range o.events {
		if e.Result != "" {
			jobs[e.JobID] = e.Result
		}
	}
	return jobs
}

// Output is what a step of a job set last. Steps within a composite action
// are named by the ids on the way, with a slash between.
func (o Outcome) Output(job, step, name string) string {
	value := ""
	for _, e := range o.events {
		if e.Command == "set-output" && e.JobID == job && e.step() == step && e.Name == name {
			value = e.Arg
		}
	}
	return value
}

// Summary is what a job's steps wrote for people.
func (o Outcome) Summary(job string) string {
	var all strings.Builder
	for _, e := range o.events {
		if e.Command == "summary" && e.JobID == job {
			all.WriteString(e.Content)
		}
	}
	return all.String()
}

// Steps tells how steps ended and how long they took, a line each.
func (o Outcome) Steps() string {
	var all strings.Builder
	for _, e := range o.events {
		if e.Ended != "" {
			fmt.Fprintf(&all, "[%s] %s\n", e.Job, strings.TrimSpace(e.Message))
		}
	}
	return all.String()
}

// Log is what act and the steps wrote, of all jobs.
func (o Outcome) Log() string { return o.log(func(event) bool { return true }) }

// LogOf is that of one job.
func (o Outcome) LogOf(job string) string {
	return o.log(func(e event) bool { return e.JobID == job })
}

func (o Outcome) log(of func(event) bool) string {
	var all strings.Builder
	for _, e := range o.events {
		if of(e) {
			fmt.Fprintf(&all, "[%s] %s\n", e.Job, strings.TrimRight(e.Message, "\r\n"))
		}
	}
	return all.String()
}

func (e event) step() string {
	steps, _ := e.Step.([]any)
	ids := make([]string, len(steps))
	for i, id := range steps {
		ids[i] = fmt.Sprint(id)
	}
	return strings.Join(ids, "/")
}
