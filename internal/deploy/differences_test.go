package deploy

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/veil"
)

func configured(kind, name string, data map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name}, "data": data,
	}}
}

func TestDifferences_areBoundedAndHoldNoSecret(t *testing.T) {
	t.Parallel()
	s := &Session{veil: veil.New(nil, "shop", "web")}
	lines := map[string]any{}
	for i := range 500 {
		lines[fmt.Sprintf("key-%03d", i)] = "value"
	}
	change := func(live, wanted *unstructured.Unstructured) Change {
		return Change{Verb: Update, Object: release.Describe(wanted), Live: live, Wanted: wanted}
	}
	changes := []Change{
		change(configured("Secret", "keys", map[string]any{"a": "b2xkLXBsNG50ZWQ="}), configured("Secret", "keys", map[string]any{"a": "bmV3LXBsNG50ZWQ="})),
		change(configured("ConfigMap", "copy", map[string]any{"a": "old-pl4nted"}), configured("ConfigMap", "copy", map[string]any{"a": "new-pl4nted"})),
		change(configured("ConfigMap", "long", nil), configured("ConfigMap", "long", lines)),
		change(nil, configured("ConfigMap", "vast", map[string]any{"a": strings.Repeat("x", 100_000)})),
		{Verb: Same, Wanted: configured("ConfigMap", "same", nil)},
		{Verb: Remove, Live: configured("ConfigMap", "gone", nil)},
	}
	for i := range 2 * mostDiffs {
		changes = append(changes, change(nil, configured("ConfigMap", fmt.Sprintf("more-%d", i), map[string]any{"a": "b"})))
	}
	for _, c := range changes {
		for _, u := range []*unstructured.Unstructured{c.Live, c.Wanted} {
			if u != nil {
				s.veil.Cover(u)
			}
		}
	}
	told := s.differences(changes)
	all, shown := "", 0
	for _, c := range told {
		all += c.Diff
		if c.Diff != "" {
			shown++
		}
	}
	if shown != mostDiffs || len(all) > mostDiffs*(diffBytes+100) {
		t.Errorf("%d differences of %d bytes", shown, len(all))
	}
	if strings.Contains(all, "pl4nted") || strings.Contains(all, "cGw0bnRlZ") {
		t.Errorf("a secret is shown:\n%s", all)
	}
	for i, want := range []string{"+  a: (secret, hash ", "+  a: ***", "more lines", "too large", "", ""} {
		if got := told[i].Diff; !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q is missing in:\n%s", told[i].Object, want, got)
		}
	}
	if changes[0].Diff != "" {
		t.Error("the changes themselves were written to")
	}
}
