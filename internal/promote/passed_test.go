package promote

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

func image(n string) string { return "ghcr.io/acme/orders@sha256:" + strings.Repeat(n, 64) }

func TestPassed_isWhatIsLiveOrWhatIsNamed(t *testing.T) {
	t.Parallel()
	from := deploy.Target{Service: "orders", Environment: "staging"}
	good1 := release.Record{Revision: 1, Status: release.Succeeded, Image: image("1")}
	good2 := release.Record{Revision: 2, Status: release.Succeeded, Image: image("2")}
	bad3 := release.Record{Revision: 3, Status: release.RolledBack, Base: 2, TookBack: true, Image: image("3"), Failure: "it crashed"}
	kept3 := release.Record{Revision: 3, Status: release.Failed, Image: image("3"), Failure: "it crashed"}
	failed3 := bad3
	failed3.Image = image("1")
	relapsed2, recovered2 := good2, good2
	relapsed2.Recheck, recovered2.Recheck = &release.Recheck{Failure: "it does not answer"}, &release.Recheck{}
	under3 := release.Record{Revision: 3, Status: release.Underway, Step: deploy.StepApply, Image: image("3")}
	for name, c := range map[string]struct {
		h     release.History
		image string
		want  int    // 0: refused
		says  string // the refusal
	}{
		"what is live":                         {release.History{good2, good1}, "", 2, ""},
		"what is live, by digest":              {release.History{good2, good1}, image("2"), 2, ""},
		"by digest in another repository":      {release.History{good2, good1}, strings.Replace(image("2"), "ghcr.io/acme", "mirror.test/x", 1), 2, ""},
		"a failed one after it was taken back": {release.History{bad3, good2}, "", 2, ""},
		"what failed its tests since":          {release.History{relapsed2, good1}, "", 0, "it does not answer"},
		"likewise, by digest":                  {release.History{relapsed2, good1}, image("2"), 0, "it does not answer"},
		"what passed them again":               {release.History{recovered2, good1}, "", 2, ""},
		"nothing yet":                          {nil, "", 0, "ever released"},
		"what passed once":                     {release.History{good2, good1}, image("1"), 1, ""},
		"likewise, while another is changing":  {release.History{under3, good2, good1}, image("1"), 1, ""},
		"what passed, then not":                {release.History{failed3, good2, good1}, image("1"), 0, "did not pass"},
		"what is under way":                    {release.History{under3, good2}, image("3"), 0, "under way"},
		"what failed":                          {release.History{bad3, good2}, image("3"), 0, "did not pass"},
		"what failed and was kept":             {release.History{kept3, good2}, "", 0, "failed"},
		"what was never there":                 {release.History{good2}, image("9"), 0, "never released"},
		"while it is changing":                 {release.History{under3, good2}, "", 0, "under way"},
	} {
		got, err := passed(c.h, from, c.image)
		switch {
		case c.want > 0 && (err != nil || got.Revision != c.want):
			t.Errorf("%s: release %d, %v; want %d", name, got.Revision, err, c.want)
		case c.want == 0 && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want a refusal with %q", name, err, c.says)
		}
	}
}

func TestOtherImage_seesWhatPodsReallyRun(t *testing.T) {
	t.Parallel()
	want, err := name.NewDigest(image("1"))
	if err != nil {
		t.Fatal(err)
	}
	part := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("7", 64)}
	for what, c := range map[string]struct {
		told, runs string
		found      bool
	}{
		"what is wanted":                          {image("1"), image("1"), false},
		"told another digest":                     {image("2"), image("2"), true},
		"told by a tag":                           {"ghcr.io/acme/orders:latest", image("1"), true},
		"runs another digest":                     {image("1"), image("2"), true},
		"under another name":                      {image("1"), "mirror.test/orders@" + want.DigestStr(), false},
		"a part of the index":                     {image("1"), image("7"), false},
		"a runtime that names configurations":     {image("1"), "sha256:" + strings.Repeat("3", 64), false},
		"not started yet":                         {image("1"), "", false},
		"a container that is none of the service": {"envoy:1", "docker.io/library/envoy@sha256:" + strings.Repeat("4", 64), false},
	} {
		pod := corev1.Pod{
			Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: c.told}}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "web", ImageID: c.runs}}},
		}
		if got, found := otherImage([]corev1.Pod{pod}, want, part); found != c.found {
			t.Errorf("%s: found %v (%+v), want %v", what, found, got, c.found)
		}
	}
}
