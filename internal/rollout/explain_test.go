package rollout

import (
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	crash := func(code int32, log ...string) Evidence {
		return evidence(CrashLoop, "container web of pod p ended with exit code 1, 2 times", ContainerEvidence{State: "waiting: CrashLoopBackOff", Ended: true, Reason: "Error", ExitCode: code, Log: log})
	}
	said := func(reason Reason, detail string) Evidence { return evidence(reason, detail, ContainerEvidence{}) }
	start := func(message string) Evidence {
		return evidence(CannotStart, "container web of pod p cannot be started: "+message, ContainerEvidence{Ended: true, Reason: "StartError", ExitCode: 128, Message: message})
	}
	const oci = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: "

	for name, c := range map[string]struct {
		e     Evidence
		cause []string // all of these are in it
		next  string
	}{
		"last line":              {crash(1, "starting", "cannot open orders.db", ""), []string{"container web crashes at its start with exit code 1", "cannot open orders.db"}, "log"},
		"last complaint":         {crash(1, "starting", "migration 7 failed: no such table", "bye"), []string{"migration 7 failed"}, "log"},
		"killed for memory":      {evidence(OutOfMemory, "container web of pod p was killed with exit code 137, most likely at its memory limit (64Mi), 2 times", ContainerEvidence{Ended: true, Reason: "Error", ExitCode: 137}), []string{"most likely for memory", "64Mi"}, "memory limit"},
		"Go panic, extracted":    {crash(2, "starting", "panic: runtime error: index out of range [3]", "goroutine 1 [running]:", "main.main()", "\t/app/main.go:12 +0x1d"), []string{"exit code 2", "panic: runtime error: index out of range [3]"}, "panic"},
		"fatal error":            {crash(2, "fatal error: all goroutines are asleep - deadlock!", "goroutine 1 [select]:"), []string{"fatal error: all goroutines"}, "panic"},
		"variable":               {crash(1, "config: DATABASE_URL is not set"), []string{"a variable or setting is missing", "DATABASE_URL"}, "env"},
		"variable, Python":       {crash(1, "Traceback (most recent call last):", "KeyError: 'API_URL'"), []string{"a variable or setting is missing"}, "env"},
		"read-only":              {crash(1, "open /tmp/x: read-only file system"), []string{"read-only file system"}, "emptyDir"},
		"permission":             {crash(1, "open /data/x: permission denied"), []string{"permission denied"}, "runAsUser"},
		"port taken":             {crash(1, "listen tcp :80: bind: address already in use"), []string{"port is taken"}, "port"},
		"file missing":           {crash(1, "open /etc/orders.yaml: no such file or directory"), []string{"a file is missing", "/etc/orders.yaml"}, "include"},
		"database away":          {crash(1, "dial tcp 10.0.0.9:5432: connect: connection refused"), []string{"does not answer", "5432"}, "address"},
		"no log, 127":            {crash(127), []string{"127", "not found"}, "command"},
		"no log, 139":            {crash(139), []string{"segmentation"}, "debug"},
		"log not read":           {evidence(CrashLoop, "x", ContainerEvidence{Ended: true, ExitCode: 9, Unread: true}), []string{"exit code 9", "could not be read"}, "pods/log"},
		"no log":                 {crash(9), []string{"exit code 9", "wrote nothing"}, "log"},
		"out of memory":          {evidence(OutOfMemory, "container web of pod p was killed at its memory limit (64Mi), 2 times", ContainerEvidence{Ended: true, Reason: "OOMKilled", ExitCode: 137}), []string{"OOMKilled", "64Mi"}, "memory limit"},
		"other platform":         {start(`exec /web: exec format error`), []string{"exec format error", "platform"}, "build"},
		"other platform, by log": {crash(1, "exec /web: exec format error"), []string{"exec format error"}, "build"},
		"not found":              {start(oci + `exec: "/web": stat /web: no such file or directory`), []string{"executable /web not found"}, "command"},
		"not in PATH":            {start(oci + `exec: "web": executable file not found in $PATH`), []string{"executable web not found"}, "command"},
		"not executable":         {start(oci + `exec: "/web": permission denied`), []string{"permission denied", "/web"}, "executable"},
		"mount does not fit":     {start(oci + `error mounting "/var/lib/kubelet/x" to rootfs at "/etc/orders.yaml": not a directory`), []string{"/etc/orders.yaml"}, "subPath"},
		"root":                   {said(RunsAsRoot, "container has runAsNonRoot and image will run as root"), []string{"runAsNonRoot"}, "runAsUser"},
		"ends well":              {evidence(Completed, "x", ContainerEvidence{Ended: true, Log: []string{"done"}}), []string{"exit code 0", "done"}, "Job"},
		"liveness":               {said(LivenessKills, "container web of pod p is restarted because its liveness probe fails (HTTP probe failed with statuscode: 500), 2 times"), []string{"liveness", "statuscode: 500"}, "startupProbe"},
		"startup":                {said(StartupTooSlow, "container web of pod p is restarted because its startup probe fails, 2 times"), []string{"startup probe"}, "failureThreshold"},
		"404":                    {said(NotReady, "container web of pod p runs, its readiness probe failed: HTTP probe failed with statuscode: 404"), []string{"answered with 404"}, "readiness-path"},
		"503":                    {said(NotReady, "container web of pod p runs, its readiness probe failed: HTTP probe failed with statuscode: 503"), []string{"answered with 503"}, "log"},
		"wrong port":             {said(NotReady, `its readiness probe failed: Get "http://10.1.2.3:8080/readyz": dial tcp 10.1.2.3:8080: connect: connection refused`), []string{"nothing listens on port 8080"}, "port"},
		"wrong port, IPv6":       {said(NotReady, `its readiness probe failed: Get "http://[fd00::7]:8080/readyz": dial tcp [fd00::7]:8080: connect: connection refused`), []string{"nothing listens on port 8080"}, "port"},
		"slow answers":           {said(NotReady, `its readiness probe failed: Get "http://10.1.2.3:8080/": context deadline exceeded`), []string{"in time"}, "timeoutSeconds"},
		"Job":                    {evidence(JobFailed, "the Job failed: x", ContainerEvidence{Ended: true, ExitCode: 3, State: "ended: Error", Log: []string{"constraint violated"}}), []string{"fails with exit code 3", "constraint violated"}, "log"},
		"Job without pods":       {Evidence{Kind: "Job", Name: "migrate", Judgement: Judgement{Reason: JobFailed, Detail: "the Job failed: x"}}, []string{"the Job failed: x"}, "events"},
		"Job deadline":           {Evidence{Kind: "Job", Name: "migrate", Judgement: Judgement{Reason: DeadlineExceeded}}, []string{"activeDeadlineSeconds"}, "activeDeadlineSeconds"},
		"image not found":        {said(ImageNotFound, "x"), []string{"image not found", "ghcr.io/acme/orders:1"}, "push"},
		"unauthorized":           {said(ImageUnauthorized, "x"), []string{"unauthorized"}, "image-pull-secret"},
		"invalid":                {said(ImageInvalid, "x"), []string{"invalid image name"}, "lower case"},
		"platform":               {said(ImagePlatform, "x"), []string{"platform"}, "platforms"},
		"rate limit":             {said(ImagePull, "429 Too Many Requests - toomanyrequests"), []string{"limits how often"}, "credentials"},
		"certificate":            {said(ImagePull, "tls: failed to verify certificate: x509: certificate signed by unknown authority"), []string{"trust"}, "certificate"},
		"registry away":          {said(ImagePull, "i/o timeout"), []string{"cannot be pulled for now"}, "reach"},
		"ConfigMap":              {said(ConfigMissing, `configmap "settings" not found`), []string{`ConfigMap "settings" is not there`}, "shop"},
		"Secret":                 {said(ConfigMissing, `MountVolume.SetUp failed for volume "k" : secret "keys" not found`), []string{`Secret "keys" is not there`}, "create Secret keys"},
		"key":                    {said(ConfigMissing, "couldn't find key url in Secret shop/keys"), []string{"key url is missing in Secret keys"}, "add the key"},
		"claim":                  {said(ClaimMissing, `persistentvolumeclaim "data" not found`), []string{`PersistentVolumeClaim "data"`}, "create"},
		"claim not bound":        {said(ClaimMissing, "pod has unbound immediate PersistentVolumeClaims"), []string{"not bound"}, "storage class"},
		"quota":                  {said(Quota, `its pods are refused: pods "x" is forbidden: exceeded quota: few, requested: cpu=1, used: cpu=2, limited: cpu=2`), []string{"quota few", "requested cpu=1", "limited to cpu=2"}, "ResourceQuota few"},
		"quota wants limits":     {said(Quota, `pods "x" is forbidden: failed quota: few: must specify limits.memory for: web`), []string{"must specify limits.memory"}, "set the requests"},
		"LimitRange":             {said(Refused, `pods "x" is forbidden: maximum memory usage per Container is 16Mi, but limit is 64Mi`), []string{"LimitRange", "16Mi"}, "limitrange"},
		"webhook":                {said(Refused, `admission webhook "policy.acme.io" denied the request: no latest tag`), []string{"policy.acme.io", "no latest tag"}, "webhook"},
		"webhook away":           {said(Refused, `failed calling webhook "policy.acme.io": connection refused`), []string{"cannot be reached"}, "bring"},
		"Pod Security":           {said(Refused, `pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true`), []string{"restricted:latest", "runAsNonRoot"}, "securityContext"},
		"cpu":                    {said(Unschedulable, "0/1 nodes are available: 1 Insufficient cpu. preemption: x"), []string{"enough cpu for"}, "cpu request"},
		"other resource":         {said(Unschedulable, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: x"), []string{"enough nvidia.com/gpu for"}, "request"},
		"nodeSelector":           {said(Unschedulable, "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."), []string{"nodeSelector"}, "label a node"},
		"taint":                  {said(Unschedulable, "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}."), []string{"taint", "gpu: true"}, "toleration"},
		"spread":                 {said(Unschedulable, "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."), []string{"anti-affinity"}, "prefer"},
		"paused":                 {said(Paused, "the Deployment is paused"), []string{"paused"}, "resume"},
		"gone":                   {said(Missing, "x"), []string{"is not there"}, "apply"},
		"too long":               {said(TimedOut, "1 of 2 new pods ready"), []string{"1 of 2 new pods ready"}, "timeout"},
		"nothing known":          {Evidence{}, []string{"no reason"}, "describe"},
	} {
		t.Run(name, func(t *testing.T) {
			cause, next := Explain(c.e)
			for _, want := range c.cause {
				if !strings.Contains(cause, want) {
					t.Errorf("the cause %q does not say %q", cause, want)
				}
			}
			if !strings.Contains(next, c.next) {
				t.Errorf("the next step %q does not say %q", next, c.next)
			}
		})
	}
}

// evidence is a Deployment in namespace shop whose container web shows c.
func evidence(reason Reason, detail string, c ContainerEvidence) Evidence {
	c.Name, c.Image = "web", "ghcr.io/acme/orders:1"
	return Evidence{
		Kind: "Deployment", Name: "orders", Namespace: "shop",
		Judgement: Judgement{State: Doomed, Reason: reason, Detail: detail, Pod: "p", Container: "web"},
		Pods:      []PodEvidence{{Name: "p", Containers: []ContainerEvidence{c}}},
	}
}
