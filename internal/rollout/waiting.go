package rollout

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// waiting looks at what a container waits for.
func (w *watched) waiting(p *corev1.Pod, c container) {
	waits := c.status.State.Waiting
	t := trouble{state: Suspect, count: 1, pod: p.Name, container: c.status.Name}
	said := waits.Message
	switch waits.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed":
		said += " " + w.failed(p, c, "pull image")
		t.reason, t.state = pull(waits.Reason, said, imageOf(c))
		// A certificate or protocol that does not fit stays so, but a registry
		// that is being set up has it for a moment.
		if t.reason == ImagePull && isMisconfigured(said) {
			t.state = w.after(configGrace, w.since(p, c))
		}
		t.detail = fmt.Sprintf("container %s of pod %s cannot get its image %s: %s", c.status.Name, p.Name, imageOf(c), short(waits.Message))
	case "CreateContainerConfigError":
		t.detail = fmt.Sprintf("container %s of pod %s cannot be made: %s", c.status.Name, p.Name, short(said))
		switch {
		case strings.Contains(said, "runAsNonRoot") || strings.Contains(said, "run as root"):
			t.reason, t.state = RunsAsRoot, Doomed
		case isSettling(said):
			t.reason = ConfigMissing
		default:
			t.reason, t.missing = ConfigMissing, missingIn(said)
			t.state = w.after(configGrace, w.since(p, c))
		}
	case "CreateContainerError", "RunContainerError", "PostStartHookError", "PreCreateHookError", "PreStartHookError":
		t.reason = CannotStart
		t.count = max(1, w.failures(p, c))
		t.detail = fmt.Sprintf("container %s of pod %s cannot be started: %s", c.status.Name, p.Name, firstOf(said, waits.Reason))
		if t.count > 1 && !isBusy(said) {
			t.state = Doomed
		}
	default: // ContainerCreating, PodInitializing, CrashLoopBackOff: told elsewhere
		return
	}
	w.add(t)
}

func imageOf(c container) string {
	if c.spec != nil && c.spec.Image != "" {
		return c.spec.Image
	}
	return c.status.Image
}

// failed gives the newest words of the kubelet's event Failed about the
// container that hold the given ones. Kubelets before 1.30 leave them out of
// ImagePullBackOff.
func (w *watched) failed(p *corev1.Pod, c container, words string) string {
	for _, e := range w.about(p.UID, "Pod", p.Name) {
		if e.Reason == "Failed" && containerOf(e) == c.status.Name && strings.Contains(e.Message, words) {
			return e.Message
		}
	}
	return ""
}

// failures counts how often the container could not be made or started.
func (w *watched) failures(p *corev1.Pod, c container) int {
	n := 0
	for _, e := range w.about(p.UID, "Pod", p.Name) {
		if e.Reason == "Failed" && containerOf(e) == c.status.Name && strings.HasPrefix(e.Message, "Error: ") {
			n += times(e)
		}
	}
	return n
}

// since is when the container's turn came: the moment from which it could
// have been made.
func (w *watched) since(p *corev1.Pod, c container) time.Time {
	at := p.CreationTimestamp.Time
	later := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	if scheduled, ok := condition(p, corev1.PodScheduled); ok {
		later(scheduled.LastTransitionTime.Time)
	}
	for other := range containersOf(p) {
		if end := other.status.State.Terminated; other.init && !c.init && end != nil {
			later(end.FinishedAt.Time)
		}
	}
	if end := c.status.LastTerminationState.Terminated; end != nil {
		later(end.FinishedAt.Time)
	}
	return at
}

var (
	passing      = regexp.MustCompile(`(?i)toomanyrequests|too many requests|\b429\b|rate ?limit|pull qps exceeded|i/o timeout|timed? ?out|deadline exceeded|connection (refused|reset)|no route to host|network is unreachable|temporary failure|no such host|unexpected eof|: EOF\b|\b50[0234]\b|bad gateway|service unavailable|internal server error|unavailable|context canceled|no space left`)
	unauthorized = regexp.MustCompile(`(?i)unauthorized|authentication required|authorization failed|access denied|denied:|\bdenied\b|insufficient[_ ]scope|no basic auth credentials|\b40[13]\b|forbidden`)
	notFound     = regexp.MustCompile(`(?i)not found|manifest unknown|name unknown|unknown manifest|does not exist|\b404\b`)
	platform     = regexp.MustCompile(`(?i)no match for platform|no matching manifest|no image found in (image index|manifest list)|does not match the specified platform`)
	misfits      = regexp.MustCompile(`(?i)x509|certificate|HTTP response to HTTPS client|unsupported protocol scheme|did not verify`)
)

// pull tells what a failed pull means. What a registry says for a moment
// (limits, time-outs, its own errors) dooms nothing, also where a name in the
// message reads like a verdict: the image's own name is taken out first.
func pull(reason, said, image string) (Reason, State) {
	switch reason {
	case "InvalidImageName":
		return ImageInvalid, Doomed
	case "ErrImageNeverPull":
		return ImageNotFound, Doomed
	}
	said = withoutImage(said, image)
	switch {
	case passing.MatchString(said):
		return ImagePull, Suspect
	case platform.MatchString(said):
		return ImagePlatform, Doomed
	case strings.Contains(said, "pull access denied"), unauthorized.MatchString(said):
		return ImageUnauthorized, Doomed
	case notFound.MatchString(said):
		return ImageNotFound, Doomed
	}
	return ImagePull, Suspect
}

func isMisconfigured(said string) bool {
	return misfits.MatchString(said) && !passing.MatchString(said)
}

var hex = regexp.MustCompile(`[0-9a-f]{12,}`)

// withoutImage takes the image's name, in all the forms that a message holds,
// out of it; digests too, whose digits may look like a status.
func withoutImage(said, image string) string {
	if image == "" {
		return hex.ReplaceAllString(said, "")
	}
	said = strings.ReplaceAll(said, image, "")
	repository, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
		repository = repository[:i]
	}
	said = strings.ReplaceAll(said, repository, "")
	// Requests name the repository without its host.
	if _, path, ok := strings.Cut(repository, "/"); ok && path != "" {
		said = strings.ReplaceAll(said, "/v2/"+path, "")
		said = strings.ReplaceAll(said, "repository:"+path, "")
	}
	return hex.ReplaceAllString(said, "")
}

// isSettling recognises the kubelet's own cache not being filled yet: it
// fills, and nothing is missing.
func isSettling(said string) bool {
	return strings.Contains(said, "failed to sync") || strings.Contains(said, "not registered")
}

// isBusy recognises a runtime that is slow, not one that refuses.
func isBusy(said string) bool {
	return strings.Contains(said, "deadline exceeded") || strings.Contains(said, "is reserved for") || strings.Contains(said, "connection refused")
}

var named = regexp.MustCompile(`(?i)\b(configmap|secret|serviceaccount|persistentvolumeclaim)s? "([^"\s]+)" not found`)

// missingIn reads which object a message misses.
func missingIn(said string) reference {
	m := named.FindStringSubmatch(said)
	if m == nil {
		return reference{}
	}
	kind := map[string]string{"configmap": "ConfigMap", "secret": "Secret", "serviceaccount": "ServiceAccount", "persistentvolumeclaim": "PersistentVolumeClaim"}
	return reference{kind: kind[strings.ToLower(m[1])], name: m[2]}
}
