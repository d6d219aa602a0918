package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/load"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/progress"
)

// WorkerCommand is how the program in the tool image is told to be a worker:
// deploy-staging load-worker ADDRESS LOAD [with-others].
const (
	WorkerProgram = "deploy-staging"
	WorkerCommand = "load-worker"
	WithOthers    = "with-others"
)

// Workers send a load from inside the cluster: the pods of an indexed Job,
// each its share.
type Workers struct {
	job    *jobs.Job
	number int
	long   time.Duration
}

// NewWorkers is workers that run the image (with pullSecret, where that is not
// empty) and send to the front.
func NewWorkers(spec load.Spec, front Front, image, pullSecret string) (*Workers, error) {
	args := []any{WorkerCommand, front.URL(), spec.Share().String()}
	if spec.Workers > 1 {
		args = append(args, WithOthers)
	}
	pod := map[string]any{
		"restartPolicy":                 "Never",
		"automountServiceAccountToken":  false,
		"terminationGracePeriodSeconds": int64(1),
		"securityContext": map[string]any{
			"runAsNonRoot": true, "runAsUser": int64(65532), "runAsGroup": int64(65532),
			"seccompProfile": map[string]any{"type": "RuntimeDefault"},
		},
		"topologySpreadConstraints": []any{map[string]any{ // one node's network is not to be the limit
			"maxSkew": int64(1), "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
			"labelSelector": map[string]any{"matchLabels": map[string]any{jobs.Label: "load"}},
		}},
		"containers": []any{map[string]any{
			"name": "worker", "image": image, "command": []any{WorkerProgram}, "args": args,
			"resources": map[string]any{
				"requests": map[string]any{"cpu": "100m", "memory": "64Mi"},
				"limits":   map[string]any{"memory": "512Mi"},
			},
			"securityContext": map[string]any{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
				"capabilities": map[string]any{"drop": []any{"ALL"}},
			},
		}},
	}
	if pullSecret != "" {
		pod["imagePullSecrets"] = []any{map[string]any{"name": pullSecret}}
	}
	job, err := jobs.New(manifests.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": "load"},
		"spec": map[string]any{
			"completionMode": "Indexed", "completions": int64(spec.Workers), "parallelism": int64(spec.Workers),
			"backoffLimit": int64(0),
			"template":     map[string]any{"spec": pod},
		},
	}}}, "load")
	if err != nil {
		return nil, fmt.Errorf("make the load's workers: %w", err)
	}
	return &Workers{job: job, number: spec.Workers, long: spec.WarmUp + spec.Duration + spec.Timeout}, nil
}

// run lets the workers send, all at once, and adds up what they report.
func (w *Workers) run(ctx context.Context, s *Session) (load.Report, error) {
	o := s.jobOptions(ctx)
	o.Timeout += w.long
	heard := hearing{cluster: s.Cluster, namespace: s.Namespace, log: s.Log, want: w.number, ready: map[string]bool{}, reports: map[string]load.Report{}}
	o.Output = func(pod, _, line string) { heard.line(ctx, pod, line) }
	if err := w.job.Run(ctx, s.Cluster, o); err != nil {
		return load.Report{}, err
	}
	return heard.sum()
}

// hearing is what was heard of the workers.
type hearing struct {
	cluster   *cluster.Client
	namespace string
	log       progress.Log
	want      int

	mu      sync.Mutex
	ready   map[string]bool        // by pod
	reports map[string]load.Report // by pod
	errs    []error
}

func (h *hearing) line(ctx context.Context, pod, line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	report, is, err := load.ParseReport(line)
	switch {
	case err != nil:
		h.errs = append(h.errs, fmt.Errorf("pod %s: %w", pod, err))
	case is:
		h.reports[pod] = report
	case line == load.Ready:
		if h.ready[pod] = true; len(h.ready) == h.want {
			h.begin(ctx)
		}
	default:
		_, _ = fmt.Fprintf(h.log.Foreign(), "[%s] %s\n", pod, line)
	}
}

// begin gives all workers the word. One that cannot be reached begins by
// itself, a little later: the rate that was reached together tells.
func (h *hearing) begin(ctx context.Context) {
	h.log.Linef("all %d workers are ready: the load begins", h.want)
	for pod := range h.ready {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			if err := h.tell(ctx, pod); err != nil {
				h.log.Linef("worker %s could not be told to begin, and begins by itself: %v", pod, err)
			}
		}()
	}
}

func (h *hearing) tell(ctx context.Context, pod string) error {
	client, base, err := h.cluster.PodURL(h.namespace, pod, load.GoPort)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(load.GoPath).String(), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusNoContent {
		return errors.New("answered " + strconv.Itoa(response.StatusCode))
	}
	return nil
}

// sum is the reports of all workers as one.
func (h *hearing) sum() (load.Report, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := errors.Join(h.errs...); err != nil {
		return load.Report{}, err
	}
	if len(h.reports) != h.want {
		return load.Report{}, fmt.Errorf("%d of %d workers reported", len(h.reports), h.want)
	}
	var sum load.Report
	var pods []string
	for pod, report := range h.reports {
		sum = sum.Merge(report)
		pods = append(pods, fmt.Sprintf("%s %d", pod, report.Requests))
	}
	h.log.Linef("requests by worker: %s", strings.Join(pods, ", "))
	return sum, nil
}
