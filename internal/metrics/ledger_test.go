package metrics

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

// A process that nobody has asked for anything tells that it runs, and no more.
func TestLedger_isSilentOnlyWhereRequestsWereToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(&once{log: progress.Discard})
		l.known([]corev1.Pod{{ObjectMeta: metav1.ObjectMeta{UID: "a"}}})
		from := teller{pod: "a"}
		l.book(from, 0, counts{started: 1})
		time.Sleep(time.Minute)
		if l.silent(stale) {
			t.Error("it never told of requests, and is called silent")
		}
		l.book(from, 0, counts{started: 1, hasRequests: true, requests: 3})
		if m := l.fill(analysis.Measurement{}); m.Requests != 3 {
			t.Errorf("%d requests, want the first 3", m.Requests)
		}
		time.Sleep(time.Minute)
		if !l.silent(stale) {
			t.Error("it told of requests a minute ago, and is not silent")
		}
	})
}
