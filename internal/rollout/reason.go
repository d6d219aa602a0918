package rollout

// Reason is the kind of a trouble, in one word.
type Reason string

// The troubles that are told apart.
const (
	CrashLoop         Reason = "CrashLoop"         // the same container ended again and again
	Completed         Reason = "Completed"         // ended with exit code 0 where it should go on
	OutOfMemory       Reason = "OutOfMemory"       // killed at its memory limit
	CannotStart       Reason = "CannotStart"       // the runtime could not start the process
	LivenessKills     Reason = "LivenessKills"     // the kubelet restarts it for its liveness probe
	StartupTooSlow    Reason = "StartupTooSlow"    // the kubelet restarts it for its startup probe
	NotReady          Reason = "NotReady"          // runs, but the readiness probe says no
	ImageNotFound     Reason = "ImageNotFound"     // the registry does not have it
	ImageUnauthorized Reason = "ImageUnauthorized" // the registry does not give it to this cluster
	ImageInvalid      Reason = "ImageInvalid"      // the reference is no reference
	ImagePlatform     Reason = "ImagePlatform"     // nothing in it for the node's platform
	ImagePull         Reason = "ImagePull"         // the pull fails, for now
	ConfigMissing     Reason = "ConfigMissing"     // a ConfigMap, Secret or key is not there
	RunsAsRoot        Reason = "RunsAsRoot"        // runAsNonRoot, and the image's user is root or has a name only
	VolumeFailed      Reason = "VolumeFailed"      // a volume cannot be mounted
	ClaimMissing      Reason = "ClaimMissing"      // a PersistentVolumeClaim is not there or not bound
	Quota             Reason = "Quota"             // the namespace's quota is used up
	Refused           Reason = "Refused"           // admission refuses the pods: LimitRange, Pod Security, a webhook
	Unschedulable     Reason = "Unschedulable"     // no node takes the pod
	Evicted           Reason = "Evicted"           // a node gave the pod up
	DeadlineExceeded  Reason = "DeadlineExceeded"  // no progress within progressDeadlineSeconds
	JobFailed         Reason = "JobFailed"         // the Job gave up
	Paused            Reason = "Paused"            // paused or suspended: nothing will happen
	Missing           Reason = "Missing"           // the object itself is not there
	ConditionFailed   Reason = "ConditionFailed"   // a condition of the object says so
	TimedOut          Reason = "TimedOut"          // not serving when the time was up, and no trouble seen
)

// rank orders troubles by how much they explain: a pod that crashes is also
// not ready, and one whose image is missing also exceeds the deadline.
func (r Reason) rank() int {
	switch r {
	case ImageInvalid, ImageNotFound, ImageUnauthorized, ImagePlatform, RunsAsRoot:
		return 1
	case OutOfMemory, LivenessKills, StartupTooSlow, CannotStart, CrashLoop, Completed:
		return 2
	case ConfigMissing, ClaimMissing, VolumeFailed:
		return 3
	case Quota, Refused, Unschedulable:
		return 4
	case ImagePull, Evicted:
		return 5
	case NotReady, JobFailed, ConditionFailed:
		return 6
	case DeadlineExceeded, Paused, Missing, TimedOut:
		return 7
	}
	return 8
}
