package target

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/rollout"
)

// logRoom bounds what a summary shows of logs: it has room for 1 MiB in all,
// and several services may fail in one.
const logRoom = 96 << 10

// dossier shows the evidence of a failed rollout: what is the matter, what to
// do, and, folded, what that was seen by.
func dossier(f *rollout.Failure) string {
	d := f.Dossier
	var b strings.Builder
	fmt.Fprintf(&b, "**Cause:** %s\n\n", action.Escape(d.Cause))
	if d.Next != "" {
		fmt.Fprintf(&b, "**Next:** %s\n\n", action.Escape(d.Next))
	}
	var rows [][]string
	var logs strings.Builder
	room := logRoom
	fold := func(title string, lines []string) {
		text := strings.Join(lines, "\n")
		if len(lines) == 0 {
			return
		}
		if room -= len(text); room < 0 {
			text = "(left out here: the log of this step has it)"
		}
		logs.WriteString(action.Details(title, action.Fence("text", text)))
	}
	for _, pod := range d.Pods {
		if len(pod.Containers) == 0 || pod.Reason != "" {
			rows = append(rows, []string{action.Code(pod.Name), "", action.Escape(pod.Phase), "", "", action.Escape(pod.Reason)})
		}
		for _, c := range pod.Containers {
			rows = append(rows, []string{
				action.Code(pod.Name), action.Code(c.Name), action.Escape(c.State), action.Escape(ended(c)), strconv.Itoa(int(c.Restarts)), action.Escape(c.Message),
			})
			fold(fmt.Sprintf("Last lines of container %s of pod %s", c.Name, pod.Name), c.Log)
			fold(fmt.Sprintf("Last lines of container %s of pod %s before its last restart", c.Name, pod.Name), c.Previous)
		}
	}
	if len(rows) > 0 {
		b.WriteString(action.Table([]string{"pod", "container", "state", "last end", "restarts", "says"}, rows) + "\n")
	}
	b.WriteString(logs.String())
	if len(d.Events) > 0 {
		b.WriteString(action.Details("Events", action.Fence("text", strings.Join(d.Events, "\n"))))
	}
	if len(d.Notes) > 0 {
		b.WriteString(action.Details("What could not be read", action.Fence("text", strings.Join(d.Notes, "\n"))))
	}
	return b.String() + "\n"
}

// ended is how a container ended last, empty where it did not.
func ended(c rollout.ContainerEvidence) string {
	if !c.Ended {
		return ""
	}
	return fmt.Sprintf("%s, exit code %d", c.Reason, c.ExitCode)
}

// TellDossier writes the evidence into the log.
func TellDossier(r *action.Run, err error) {
	failure := (*rollout.Failure)(nil)
	if !errors.As(err, &failure) {
		return
	}
	defer r.Group("Evidence: " + failure.Object.String())()
	out := r.Foreign()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	for _, pod := range failure.Dossier.Pods {
		if pod.Reason != "" {
			say("%s: %s", pod.Name, pod.Reason)
		}
		for _, c := range pod.Containers {
			text := fmt.Sprintf("%s/%s: %s", pod.Name, c.Name, c.State)
			if c.Ended {
				text += ", last end: " + ended(c)
			}
			say("%s", strings.TrimSpace(text+" "+c.Message))
			quote(out, "before its last restart:", c.Previous)
			quote(out, "its last lines:", c.Log)
		}
	}
	for _, event := range failure.Dossier.Events {
		say("event: %s", event)
	}
	for _, note := range failure.Dossier.Notes {
		say("not read: %s", note)
	}
}

func quote(out io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	_, _ = fmt.Fprintf(out, "  %s\n", title)
	for _, line := range lines {
		_, _ = fmt.Fprintf(out, "  | %s\n", line)
	}
}
