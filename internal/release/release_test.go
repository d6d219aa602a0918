package release_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/release"
)

var statuses = []release.Status{
	release.Underway, release.Succeeded, release.Failed, release.RolledBack,
	release.Unchanged, release.Planned, release.Refused, "", "done",
}

func TestStatus_changesOnlyWhileUnderway(t *testing.T) {
	legal := map[[2]release.Status]bool{
		{release.Underway, release.Succeeded}:  true,
		{release.Underway, release.Failed}:     true,
		{release.Underway, release.RolledBack}: true,
	}
	for _, from := range statuses {
		for _, to := range statuses {
			same := from == to && from.Recorded() // what is seen of objects may be renewed
			if got := from.CanBecome(to); got != (legal[[2]release.Status{from, to}] || same) {
				t.Errorf("%q can become %q: %v", from, to, got)
			}
		}
	}
}

func TestDescribe_hashesWhatTheObjectSays(t *testing.T) {
	decode := func(text string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return u
	}
	const a = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"orders","namespace":"staging"},"spec":{"replicas":2}}`
	const reordered = `{"spec":{"replicas":2},"metadata":{"namespace":"staging","name":"orders"},"kind":"Deployment","apiVersion":"apps/v1"}`
	got := release.Describe(decode(a))
	if got != release.Describe(decode(reordered)) {
		t.Error("the order of keys changes the hash")
	}
	if got.Hash == release.Describe(decode(strings.Replace(a, "2", "3", 1))).Hash {
		t.Error("another number of replicas has the same hash")
	}
	if got.Key() != "apps/Deployment/staging/orders" || got.String() != "Deployment orders" {
		t.Errorf("it is %q, for people %q", got.Key(), got.String())
	}
	newer := got
	newer.APIVersion = "apps/v2"
	if newer.Key() != got.Key() {
		t.Error("the version of the API makes another object of it")
	}
}

func TestRecord_leavesOutWhatIsUnknown(t *testing.T) {
	raw, err := json.Marshal(release.Record{Format: release.Format, Service: "orders", Started: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ended", "committed", "failure", "objects", "barrier"} {
		if strings.Contains(string(raw), `"`+key+`"`) {
			t.Errorf("%s is there without a value: %s", key, raw)
		}
	}
}
