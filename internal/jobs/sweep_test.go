package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
)

// stuck is an API server with a Job that a dead run left, whose one pod ends
// late, and the Job with it, and with the pod's node, which may not be read
// where ready is nil.
type stuck struct {
	ends  time.Time
	ready func(now time.Time) corev1.ConditionStatus
}

func (s *stuck) RoundTrip(req *http.Request) (*http.Response, error) {
	job := batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "migrate-1", UID: "one"},
		Spec:       batchv1.JobSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"job": "migrate-1"}}},
	}
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "staging", Name: "migrate-1-a", OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(&job, batchv1.SchemeGroupVersion.WithKind("Job"))}},
		Spec:       corev1.PodSpec{NodeName: "node-1"},
	}
	there := time.Now().Before(s.ends)
	switch path := req.URL.Path; path {
	case "/apis":
		version := metav1.GroupVersionForDiscovery{GroupVersion: "batch/v1", Version: "v1"}
		return answered(req, metav1.APIGroupList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"},
			Groups:   []metav1.APIGroup{{Name: "batch", Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}},
		})
	case "/apis/batch/v1":
		return answered(req, metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: "batch/v1",
			APIResources: []metav1.APIResource{{Name: "jobs", SingularName: "job", Namespaced: true, Kind: "Job", Verbs: metav1.Verbs{"get", "delete"}}},
		})
	case "/apis/batch/v1/namespaces/staging/jobs":
		return answered(req, batchv1.JobList{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "JobList"}, Items: []batchv1.Job{job}})
	case "/apis/batch/v1/namespaces/staging/jobs/migrate-1":
		if !there {
			return refused(req, http.StatusNotFound, metav1.StatusReasonNotFound)
		}
		return answered(req, job)
	case "/api/v1/namespaces/staging/pods":
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		if there {
			list.Items = append(list.Items, pod)
		}
		return answered(req, list)
	case "/api/v1/nodes":
		if s.ready == nil {
			return refused(req, http.StatusForbidden, metav1.StatusReasonForbidden)
		}
		node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: s.ready(time.Now())}}
		return answered(req, corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Items: []corev1.Node{node}})
	}
	return refused(req, http.StatusNotFound, metav1.StatusReasonNotFound)
}

func answered(req *http.Request, body any) (*http.Response, error) {
	return reply(req, http.StatusOK, body)
}

func refused(req *http.Request, code int, reason metav1.StatusReason) (*http.Response, error) {
	return reply(req, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason,
	})
}

func reply(req *http.Request, code int, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(string(text))),
	}, nil
}

// warnings keeps what is warned of.
type warnings struct {
	progress.Log
	texts []string
}

func (w *warnings) Annotate(a progress.Annotation) { w.texts = append(w.texts, a.Message) }

func TestSweep_waitsForNoPodOnADeadNode(t *testing.T) {
	const limit = 115 * time.Second
	always := func(status corev1.ConditionStatus) func(time.Time) corev1.ConditionStatus {
		return func(time.Time) corev1.ConditionStatus { return status }
	}
	for name, c := range map[string]struct {
		ends        time.Duration
		ready       func(now time.Time) corev1.ConditionStatus
		least, most time.Duration
		warns       bool
		say         string // the error; empty: none
	}{
		"its pod ends":             {ends: 12 * time.Second, ready: always(corev1.ConditionTrue), least: 12 * time.Second, most: 14 * time.Second},
		"its pod ends late":        {ends: 50 * time.Second, ready: always(corev1.ConditionTrue), least: 50 * time.Second, most: 52 * time.Second},
		"its node has died":        {ends: time.Hour, ready: always(corev1.ConditionUnknown), least: deadAfter, most: deadAfter + time.Second, warns: true},
		"its node lives":           {ends: time.Hour, ready: always(corev1.ConditionTrue), least: limit, most: limit, say: "migrate-1-a do not end"},
		"its node may not be read": {ends: time.Hour, least: limit, most: limit, say: "migrate-1-a do not end"},
		"its node dies meanwhile": {ends: time.Hour, least: 45 * time.Second, most: 45*time.Second + deadEvery, warns: true, ready: func() func(time.Time) corev1.ConditionStatus {
			var asked time.Time
			return func(now time.Time) corev1.ConditionStatus {
				if asked.IsZero() {
					asked = now
				}
				if now.Sub(asked) < 15*time.Second {
					return corev1.ConditionTrue
				}
				return corev1.ConditionFalse
			}
		}()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				client, err := cluster.New(&rest.Config{Host: "http://api", Transport: &stuck{ends: begun.Add(c.ends), ready: c.ready}}, "test")
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				log := &warnings{Log: progress.Discard}
				err = Sweep(ctx, client, "staging", nil, log)
				if took := time.Since(begun); took < c.least || took > c.most {
					t.Errorf("it took %v, want %v to %v", took, c.least, c.most)
				}
				if c.warns != (len(log.texts) == 1) {
					t.Errorf("warned of %q", log.texts)
				}
				if c.say == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				var left *LeftError
				if !errors.As(err, &left) || !strings.Contains(err.Error(), c.say) || !strings.Contains(left.Next(), "kubectl --namespace staging delete pod --force migrate-1-a") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}
