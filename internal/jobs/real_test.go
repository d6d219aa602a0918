package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/rollout"
	"github.com/fibership/fibership/internal/testcluster"
)

// heard keeps what is logged, and when each line of the Job came.
type heard struct {
	progress.Log
	mu   sync.Mutex
	text strings.Builder
	came []time.Time
}

func (h *heard) Foreign() io.Writer { return h }

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came = append(h.came, time.Now())
	return h.text.Write(p)
}

func (h *heard) Linef(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(&h.text, format+"\n", args...)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func job(t *testing.T, spec, image, args string) *Job {
	t.Helper()
	j, err := load(t, fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
%s
  template:
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: work, image: %q, args: [%s]}]
`, spec, image, args))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// left is the number of Jobs in the namespace that are not being removed.
func left(ctx context.Context, t *testing.T, c *testcluster.T) int {
	t.Helper()
	list, err := c.Client.Kube.BatchV1().Jobs(c.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

func TestReal_runsToTheVerdict(t *testing.T) {
	testcluster.Need(t)
	image := testcluster.Push(t, "jobs/web")
	for name, c := range map[string]struct {
		spec, image, args string
		fails             bool
		ran               bool
		say               []string
	}{
		"succeeds, its log shown to the last line": {args: "work, 1s, '0'", say: []string{"working for 1s", "step 3\n", "ends with 0", "succeeded"}},
		"fails with its exit code":                 {args: "work, 300ms, '7'", fails: true, ran: true, say: []string{"ends with 7", "exit code 7"}},
		"takes too long":                           {spec: "  activeDeadlineSeconds: 20", args: "work, 60s, '0'", fails: true, ran: true, say: []string{"step 3\n", "activeDeadlineSeconds"}},
		"has no image":                             {image: "127.0.0.1:5000/jobs/nothing:1", args: "x", fails: true, say: []string{"jobs/nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := testcluster.New(t)
			if c.image == "" {
				c.image = image
			}
			log := &heard{Log: progress.Discard}
			j := job(t, c.spec, c.image, c.args)
			err := j.Run(t.Context(), cluster.Client, Options{Namespace: cluster.Namespace, Timeout: time.Minute, Log: log})
			if (err != nil) != c.fails {
				t.Fatalf("Run = %v; log:\n%s", err, log)
			}
			said := log.String()
			if c.fails {
				said += err.Error()
				var failure *Failure
				if !errors.As(err, &failure) || failure.Ran != c.ran || failure.Job != "work" {
					t.Errorf("failure = %+v", failure)
				}
				if dossier := (*rollout.Failure)(nil); !errors.As(err, &dossier) {
					t.Errorf("%v explains nothing", err)
				}
			}
			for _, want := range c.say {
				if !strings.Contains(said, want) {
					t.Errorf("%q is missing in:\n%s", want, said)
				}
			}
			if n := left(t.Context(), t, cluster); n > 0 {
				t.Errorf("%d Jobs are left", n)
			}
		})
	}
}

func TestReal_showsTheLogWhileItIsWritten(t *testing.T) {
	c := testcluster.New(t)
	log := &heard{Log: progress.Discard}
	j := job(t, "", testcluster.Push(t, "jobs/web"), "work, 6s, '0'")
	if err := j.Run(t.Context(), c.Client, Options{Namespace: c.Namespace, Timeout: time.Minute, Log: log}); err != nil {
		t.Fatal(err)
	}
	if first := log.came[0]; time.Since(first) < 1500*time.Millisecond {
		t.Errorf("the first line came %v before the end of a Job that writes for 6 s", time.Since(first))
	}
}

func TestReal_cancelledTakesTheJobAway(t *testing.T) {
	c := testcluster.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	log := &heard{Log: progress.Discard}
	done := make(chan error, 1)
	j := job(t, "", testcluster.Push(t, "jobs/web"), "work, 60s, '0'")
	go func() {
		done <- j.Run(ctx, c.Client, Options{Namespace: c.Namespace, Timeout: time.Minute, Log: log})
	}()
	testcluster.Eventually(t, time.Minute, "the first step", func(context.Context) bool { return strings.Contains(log.String(), "step 1\n") })
	began := time.Now()
	cancel()
	err := <-done
	if took := time.Since(began); took > 3*time.Second || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v after %v", err, took)
	}
	if n := left(t.Context(), t, c); n > 0 {
		t.Errorf("%d Jobs are left", n)
	}
}

func TestReal_sweepRemovesOnlyWhatIsOursAndWaitsForItsPods(t *testing.T) {
	c := testcluster.New(t)
	image := testcluster.Push(t, "jobs/web")
	labels := map[string]string{"fibership.dev/service": "web"}
	for _, whose := range []map[string]string{labels, {"fibership.dev/service": "other"}} {
		u, _, err := job(t, "", image, "work, 60s, '0'").instance(Options{Namespace: c.Namespace, Labels: whose, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Client.Dynamic.Resource(jobsResource).Namespace(c.Namespace).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pods := func(ctx context.Context) int {
		list, err := c.Client.Kube.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: Label})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	testcluster.Eventually(t, time.Minute, "both pods", func(ctx context.Context) bool { return pods(ctx) == 2 })
	if err := Sweep(t.Context(), c.Client, c.Namespace, labels, progress.Discard); err != nil {
		t.Fatal(err)
	}
	if jobs, n := left(t.Context(), t, c), pods(t.Context()); jobs != 1 || n != 1 {
		t.Errorf("%d Jobs and %d pods are left, want the other service's", jobs, n)
	}
}

var jobsResource = batchv1.SchemeGroupVersion.WithResource("jobs")
