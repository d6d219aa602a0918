package rollout

import (
	"fmt"
	"regexp"
	"strings"
)

// Evidence is all that Explain looks at.
type Evidence struct {
	Kind, Name, Namespace string // the workload
	Judgement
	Pods []PodEvidence
}

// Explain names the likely cause in one sentence and the next step to take.
// It is pure, and always says something: at the least what was seen, and
// where to look.
func Explain(e Evidence) (cause, next string) {
	c := e.guilty()
	switch e.Reason {
	case CrashLoop, Completed, OutOfMemory, LivenessKills, StartupTooSlow, CannotStart, RunsAsRoot, NotReady, JobFailed:
		cause, next = e.process(c)
	case ImageNotFound, ImageUnauthorized, ImageInvalid, ImagePlatform, ImagePull:
		cause, next = e.image(c)
	case ConfigMissing, ClaimMissing, VolumeFailed, Quota, Refused, Unschedulable, Evicted:
		cause, next = e.place(c)
	case DeadlineExceeded, Paused, Missing, ConditionFailed, TimedOut:
		cause, next = e.workload(c)
	default: // explained elsewhere, or by what comes below
	}
	if cause == "" {
		cause = firstOf(e.Detail, "no reason can be seen")
	}
	if next == "" {
		next = fmt.Sprintf("look at kubectl -n %s describe %s %s", firstOf(e.Namespace, "default"), strings.ToLower(firstOf(e.Kind, "object")), e.Name)
	}
	return cause, next
}

// guilty is the container that the judgement names, or the first that shows
// anything wrong.
func (e Evidence) guilty() ContainerEvidence {
	var other ContainerEvidence
	for _, p := range e.Pods {
		for _, c := range p.Containers {
			if p.Name == e.Pod && c.Name == e.Container {
				return c
			}
			if other.Name == "" && (c.Ended && c.ExitCode != 0 || strings.HasPrefix(c.State, "waiting")) {
				other = c
			}
		}
	}
	if e.Container != "" && other.Name == "" {
		other.Name = e.Container
	}
	return other
}

// who reads "container web" or "init container migrate".
func (c ContainerEvidence) who() string {
	switch {
	case c.Name == "":
		return "a container"
	case c.Init:
		return "init container " + c.Name
	}
	return "container " + c.Name
}

// image explains a pull that fails.
func (e Evidence) image(c ContainerEvidence) (cause, next string) {
	image := firstOf(c.Image, "the image")
	switch e.Reason {
	case ImageNotFound:
		if strings.Contains(c.State, "ErrImageNeverPull") || strings.Contains(e.Detail, "ErrImageNeverPull") {
			return fmt.Sprintf("image %s is not on the node, and imagePullPolicy Never forbids to pull it", image),
				"set imagePullPolicy to IfNotPresent"
		}
		return fmt.Sprintf("image not found: the registry does not have %s", image),
			"check the repository, tag or digest; push the image, or give the digest that build-image printed"
	case ImageUnauthorized:
		return fmt.Sprintf("the registry refuses the pull of %s: unauthorized", image),
			fmt.Sprintf("give the cluster credentials for it: a Secret of type kubernetes.io/dockerconfigjson in namespace %s, named in image-pull-secret or imagePullSecrets, or make the image public", firstOf(e.Namespace, "default"))
	case ImageInvalid:
		return fmt.Sprintf("invalid image name %q", c.Image), "write it as registry/repository@sha256:…, in lower case"
	case ImagePlatform:
		return fmt.Sprintf("image %s holds nothing for the node's platform", image), "build it with the node's platform among platforms (kubectl get nodes -L kubernetes.io/arch)"
	default: // explained elsewhere, or by what comes below
	}
	text := c.Message + " " + e.Detail
	switch {
	case regexp.MustCompile(`(?i)toomanyrequests|too many requests|rate ?limit`).MatchString(text):
		return fmt.Sprintf("the registry limits how often %s may be pulled (429)", image), "wait for the limit to pass, pull with credentials, or mirror the image"
	case misfits.MatchString(text):
		return fmt.Sprintf("the node does not trust or does not speak the registry's protocol, pulling %s: %s", image, firstOf(c.Message, e.Detail)),
			"install the registry's certificate authority on the nodes, or use a registry that they trust"
	}
	return fmt.Sprintf("the image %s cannot be pulled for now: %s", image, firstOf(c.Message, e.Detail)), "check that the nodes reach the registry, then run again"
}

var (
	quotaSaid   = regexp.MustCompile(`exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: ([^;]+)`)
	webhookSaid = regexp.MustCompile(`admission webhook "([^"]+)" denied the request:? ?(.*)`)
	webhookLost = regexp.MustCompile(`failed calling webhook "([^"]+)"`)
	keySaid     = regexp.MustCompile(`couldn't find key (\S+) in (ConfigMap|Secret) (\S+)`)
	lacking     = regexp.MustCompile(`Insufficient ([\w./-]*\w)`)
	taintSaid   = regexp.MustCompile(`untolerated taints? \{([^}]+)\}`)
	podSecurity = regexp.MustCompile(`violates PodSecurity "([^"]+)": (.+)`)
)

// place explains what keeps a pod from existing, from a node, or from what
// it needs there.
func (e Evidence) place(c ContainerEvidence) (cause, next string) {
	said := e.Detail
	for _, ours := range []string{"its pods are refused: ", "no node takes pod " + e.Pod + ": "} {
		said = strings.TrimPrefix(said, ours)
	}
	namespace := firstOf(e.Namespace, "default")
	switch e.Reason {
	case ConfigMissing:
		if m := keySaid.FindStringSubmatch(said); m != nil {
			name := m[3][strings.LastIndex(m[3], "/")+1:]
			return fmt.Sprintf("key %s is missing in %s %s, which %s takes a variable from", m[1], m[2], name, c.who()),
				fmt.Sprintf("add the key %s to %s %s in namespace %s, or mark the reference optional", m[1], m[2], name, namespace)
		}
		if m := missingIn(said); m.name != "" {
			return fmt.Sprintf("%s %q is not there, and the pods need it", m.kind, m.name),
				fmt.Sprintf("create %s %s in namespace %s, add it to the manifests, or correct its name", m.kind, m.name, namespace)
		}
		return "something that the pod's configuration names is missing: " + said, "add what is missing to the manifests"
	case ClaimMissing:
		if m := missingIn(said); m.name != "" {
			return fmt.Sprintf("PersistentVolumeClaim %q is not there, and the pods mount it", m.name),
				fmt.Sprintf("create the PersistentVolumeClaim %s in namespace %s, or add it to the manifests", m.name, namespace)
		}
		return "a PersistentVolumeClaim of the pod is not bound to a volume: " + said, "check its storage class and whether a provisioner serves it (kubectl -n " + namespace + " describe pvc)"
	case VolumeFailed:
		if strings.Contains(said, "non-existent config key") {
			return "a volume names a key that its ConfigMap or Secret does not have: " + said, "add the key, or take it out of the volume's items"
		}
		return "a volume cannot be mounted: " + said, "check the volume's source and that the node can reach it"
	case Quota:
		if m := quotaSaid.FindStringSubmatch(said); m != nil {
			return fmt.Sprintf("quota %s of namespace %s is used up: requested %s, used %s, limited to %s", m[1], namespace, m[2], m[3], m[4]),
				fmt.Sprintf("raise the ResourceQuota %s, lower replicas or requests, or free something in namespace %s", m[1], namespace)
		}
		return "the namespace's quota refuses the pods: " + said, "set the requests and limits that the quota asks for, or raise it"
	case Refused:
		return e.refusal(said, namespace)
	case Unschedulable:
		return e.unschedulable(said)
	case Evicted:
		return said, "look at the node's pressure (kubectl describe node), and set requests that the pods really need"
	default: // explained elsewhere, or by what comes below
	}
	return "", ""
}

func (e Evidence) refusal(said, namespace string) (cause, next string) {
	if m := webhookSaid.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("admission webhook %s refuses the pods: %s", m[1], firstOf(m[2], "it does not say why")), "change the pod template to what the webhook asks for, or ask who runs it"
	}
	if m := webhookLost.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("admission webhook %s cannot be reached, and pods are not created without it: %s", m[1], said), "bring the webhook's service back up"
	}
	if m := podSecurity.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("the namespace's Pod Security level %s refuses the pods: %s", m[1], m[2]), "set the securityContext that it asks for in the pod template"
	}
	if usagePer.MatchString(said) {
		return "a LimitRange refuses the pods: " + said, fmt.Sprintf("set requests and limits within the LimitRange of namespace %s (kubectl -n %s describe limitrange)", namespace, namespace)
	}
	return "the API server refuses the pods: " + said, "change the pod template to what is asked for"
}

func (e Evidence) unschedulable(said string) (cause, next string) {
	switch {
	case lacking.MatchString(said):
		resource := lacking.FindStringSubmatch(said)[1]
		return fmt.Sprintf("no node has enough %s for the pod: %s", resource, said),
			fmt.Sprintf("lower the %s request, or add a node that is large enough", resource)
	case strings.Contains(said, "node affinity/selector"):
		return "no node matches the pod's nodeSelector or node affinity: " + said, "correct the nodeSelector or affinity, or label a node (kubectl get nodes --show-labels)"
	case taintSaid.MatchString(said):
		return fmt.Sprintf("every node bears a taint that the pod does not tolerate (%s): %s", taintSaid.FindStringSubmatch(said)[1], said), "add the toleration, or a node without the taint"
	case strings.Contains(said, "anti-affinity"), strings.Contains(said, "topology spread"):
		return "the pod's anti-affinity or topology spread leaves no node: " + said, "prefer instead of require it, or add nodes"
	}
	return said, "look at the scheduler's reasons above, and add a node that fits"
}

// workload explains what the object itself says.
func (e Evidence) workload(c ContainerEvidence) (cause, next string) {
	switch e.Reason {
	case Paused:
		return e.Detail, "resume it: spec.paused or spec.suspend to false"
	case Missing:
		return fmt.Sprintf("%s %s is not there: it was deleted, or never made", e.Kind, e.Name), "apply it again, and find who deletes it"
	case DeadlineExceeded:
		if e.Kind == "Job" {
			return fmt.Sprintf("Job %s did not end within its activeDeadlineSeconds", e.Name) + lastWords(c), "raise activeDeadlineSeconds, or make the Job faster"
		}
		return e.Detail, "look at the pods below; where they are only slow, raise progressDeadlineSeconds"
	case TimedOut:
		return "nothing went wrong that can be seen, it only took too long: " + e.Detail, "raise timeout, or look at the pods below"
	default: // explained elsewhere, or by what comes below
	}
	return e.Detail, ""
}
