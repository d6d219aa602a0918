package rollout

import (
	"fmt"
	"regexp"
	"strings"
)

// process explains a container that runs badly or not at all.
func (e Evidence) process(c ContainerEvidence) (cause, next string) {
	who := c.who()
	text := strings.Join([]string{c.Message, e.Detail}, " ")
	log := c.Previous
	if len(c.Log) > 0 && (len(log) == 0 || !strings.HasPrefix(c.State, "running")) {
		log = c.Log
	}
	switch {
	case e.Reason == RunsAsRoot:
		return who + " would run as root, and runAsNonRoot forbids it: " + firstOf(c.Message, e.Detail),
			"set a numeric runAsUser other than 0, or build the image with a numeric user"
	case c.Reason == "OOMKilled":
		return fmt.Sprintf("%s ran out of memory and was killed (OOMKilled, exit code 137)", who) + inBrackets(memoryLimit(e.Detail)),
			"raise the memory limit, or find what takes the memory"
	case e.Reason == OutOfMemory:
		return fmt.Sprintf("%s was killed with exit code 137 (SIGKILL), most likely for memory", who) + inBrackets(memoryLimit(e.Detail)) + quoted(log),
			"raise the memory limit, or find what takes the memory"
	case formatError.MatchString(text) || formatError.MatchString(strings.Join(log, "\n")):
		return fmt.Sprintf("%s cannot be started: exec format error, its program is built for another platform than the node's", who),
			"build the image for the node's platform (kubectl get nodes -L kubernetes.io/arch)"
	case e.Reason == CannotStart || c.Reason == "StartError" || c.Reason == "ContainerCannotRun":
		return e.cannotStart(c, text)
	case e.Reason == NotReady:
		return e.notReady(c)
	case e.Reason == LivenessKills:
		return fmt.Sprintf("the kubelet kills %s because its liveness probe fails", who) + e.probeSaid() + quoted(log),
			"make the liveness path answer, or give it time with a startupProbe"
	case e.Reason == StartupTooSlow:
		return fmt.Sprintf("%s does not start within its startup probe's failureThreshold × periodSeconds, and is killed", who) + e.probeSaid() + quoted(log),
			"raise the startupProbe's failureThreshold, or make the start faster"
	case e.Reason == JobFailed && !c.Ended:
		return e.Detail, "look at the Job's pods and events below"
	case e.Reason == Completed:
		return fmt.Sprintf("%s ends with exit code 0 instead of going on", who) + quoted(log), "let the program serve until it is told to stop; one that is meant to end belongs into a Job"
	}
	return e.crashed(c, log)
}

var (
	formatError = regexp.MustCompile(`(?i)exec format error`)
	goPanic     = regexp.MustCompile(`^\s*(?:panic: |fatal error: )`)
	// What programs say of themselves, in the words of many languages.
	noFile     = regexp.MustCompile(`(?i)no such file or directory|cannot find the file|FileNotFound|ENOENT`)
	noVariable = regexp.MustCompile(`(?i)((?:missing|required|undefined|unset|not set|must be set|is empty|not provided|not defined).*\b(?:env|environment|variable|config|setting|key)|\b(?:env|environment|variable|config|setting|key)\b.*(?:missing|required|undefined|unset|not set|must be set|is empty|not provided|not defined)|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b.*(?:missing|required|unset|not set|must be set|is empty|not provided|not defined)|KeyError: '[A-Z_]+')`)
	readOnly   = regexp.MustCompile(`(?i)read-only file ?system|EROFS`)
	denied     = regexp.MustCompile(`(?i)permission denied|EACCES|operation not permitted|EPERM`)
	inUse      = regexp.MustCompile(`(?i)address already in use|EADDRINUSE`)
	noService  = regexp.MustCompile(`(?i)connection refused|ECONNREFUSED|no such host|ENOTFOUND|i/o timeout|connection timed out`)
)

// crashed explains a process that ended with an error by its last words.
func (e Evidence) crashed(c ContainerEvidence, log []string) (cause, next string) {
	ended := fmt.Sprintf("%s crashes at its start with exit code %d", c.who(), c.ExitCode)
	if e.Reason == JobFailed || c.Init {
		ended = fmt.Sprintf("%s fails with exit code %d", c.who(), c.ExitCode)
	}
	if !c.Ended {
		ended = firstOf(e.Detail, c.who()+" crashes")
	}
	if line, ok := lastMatch(log, goPanic); ok {
		return ended + ": " + line, "find the panic's place in the log below, and correct the program or its configuration"
	}
	next = "read the last lines of its log below"
	for _, known := range []struct {
		is         *regexp.Regexp
		says, next string
	}{
		{noVariable, "a variable or setting is missing", "add it to env, env-from or the ConfigMap or Secret that the pods read"},
		{readOnly, "it writes to a read-only file system", "mount an emptyDir where it writes, or turn readOnlyRootFilesystem off"},
		{inUse, "its port is taken already", "give the containers of the pod different ports"},
		{denied, "permission denied", "check runAsUser, fsGroup and the file's mode; ports below 1024 need a capability"},
		{noFile, "a file is missing", "add the file to the image (include), or mount it"},
		{noService, "something that it needs does not answer", "check that it is up, its address, and network policies"},
	} {
		if line, ok := lastMatch(log, known.is); ok {
			return fmt.Sprintf("%s: %s: %s", ended, known.says, line), known.next
		}
	}
	if len(log) == 0 && c.Unread {
		return ended + "; its log could not be read", "give the right to get pods/log, or read it with kubectl logs --previous"
	}
	if len(log) == 0 {
		switch c.ExitCode {
		case 126:
			return ended + ": its command cannot be executed", "check the command's mode in the image"
		case 127:
			return ended + ": its command is not found", "check command and args against what the image holds"
		case 137:
			return ended + ": it was killed (SIGKILL)", "check memory and what kills it on the node"
		case 139:
			return ended + ": segmentation fault", "debug the program"
		}
		return ended + ", and wrote nothing", "run the image by hand, or let it log why it ends"
	}
	if line, ok := lastMatch(log, complaint); ok {
		return ended + ": " + line, next
	}
	return ended + quoted(log), next
}

// complaint is a line that says more than what is written on the way out.
var complaint = regexp.MustCompile(`(?i)\b(error|fatal|fail(ed|ure|s)?|exception|cannot|could not|unable to|invalid|refused|rejected)\b`)

var (
	execSaid = regexp.MustCompile(`exec:? "?([^":\s]+)"?: ([^:"]+)`)
	mountAt  = regexp.MustCompile(`error mounting "[^"]*" to rootfs at "([^"]+)"`)
)

func (e Evidence) cannotStart(c ContainerEvidence, text string) (cause, next string) {
	who := c.who()
	program := "its program"
	if m := execSaid.FindStringSubmatch(text); m != nil {
		program = m[1]
	}
	switch {
	case mountAt.MatchString(text):
		return fmt.Sprintf("%s cannot be started: a mount at %s does not fit the image", who, mountAt.FindStringSubmatch(text)[1]), "mount a folder over a folder and a file (subPath) over a file"
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		return fmt.Sprintf("%s cannot be started: executable %s not found in the image", who, program), "correct command, or the image's entrypoint; in an image without a shell there is no sh"
	case denied.MatchString(text):
		return fmt.Sprintf("%s cannot be started: permission denied to execute %s", who, program), "make the file executable in the image, for the user that the container runs as"
	case readOnly.MatchString(text):
		return fmt.Sprintf("%s cannot be started: read-only file system: %s", who, firstOf(c.Message, e.Detail)), "mount a volume where it writes"
	case strings.Contains(text, "PostStart"), strings.Contains(text, "postStart"):
		return who + " is ended because its postStart hook fails: " + firstOf(c.Message, e.Detail), "correct the hook"
	case strings.Contains(text, "sandbox"):
		return e.Detail, "look at the node: its network plugin or runtime is not well"
	}
	return fmt.Sprintf("%s cannot be started: %s", who, firstOf(c.Message, e.Detail)), "correct command, securityContext or mounts by what the runtime says"
}

var (
	statusSaid = regexp.MustCompile(`statuscode: (\d{3})`)
	dialSaid   = regexp.MustCompile(`dial tcp \[?[0-9a-fA-F.:]*?\]?:(\d+): connect: connection refused|dial tcp .*?:(\d+): connect: connection refused`)
)

func (e Evidence) notReady(c ContainerEvidence) (cause, next string) {
	who := c.who()
	if m := statusSaid.FindStringSubmatch(e.Detail); m != nil {
		if m[1][0] == '4' {
			return fmt.Sprintf("%s runs, but its readiness probe is answered with %s", who, m[1]), "correct the probe's path (readiness-path) and port, or serve it"
		}
		return fmt.Sprintf("%s runs, but its readiness probe is answered with %s: it says itself that it is not ready", who, m[1]) + quoted(c.Log), "read its log: what it depends on may be missing"
	}
	if m := dialSaid.FindStringSubmatch(e.Detail); m != nil {
		return fmt.Sprintf("%s runs, but nothing listens on port %s, where its readiness probe asks (connection refused)", who, firstOf(m[1], m[2])) + quoted(c.Log), "let probe and program use the same port (port, PORT), on all addresses"
	}
	if strings.Contains(e.Detail, "deadline exceeded") || strings.Contains(e.Detail, "Timeout") || strings.Contains(e.Detail, "timeout") {
		return fmt.Sprintf("%s runs, but does not answer its readiness probe in time", who) + quoted(c.Log), "raise the probe's timeoutSeconds, or find what keeps it busy"
	}
	return e.Detail, "look at what the probe asks for and at the log below"
}

// probeSaid repeats what the failing probe saw, where the detail tells.
func (e Evidence) probeSaid() string {
	if _, said, ok := strings.Cut(e.Detail, "probe fails ("); ok {
		if i := strings.LastIndex(said, "), "); i >= 0 {
			return " (" + said[:i] + ")"
		}
	}
	return ""
}

var limitSaid = regexp.MustCompile(`limit \(([^)]+)\)`)

func memoryLimit(detail string) string {
	if m := limitSaid.FindStringSubmatch(detail); m != nil {
		return "limit " + m[1]
	}
	return ""
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// lastMatch finds the last line that matches.
func lastMatch(log []string, is *regexp.Regexp) (string, bool) {
	for i := len(log) - 1; i >= 0; i-- {
		if is.MatchString(log[i]) {
			return short(log[i]), true
		}
	}
	return "", false
}

// quoted adds a log's last line that says anything.
func quoted(log []string) string {
	for i := len(log) - 1; i >= 0; i-- {
		if strings.Trim(log[i], " \t{}[]()=-_*#.") != "" {
			return ": " + short(log[i])
		}
	}
	return ""
}

func lastWords(c ContainerEvidence) string {
	if len(c.Log) > 0 {
		return quoted(c.Log)
	}
	return quoted(c.Previous)
}
