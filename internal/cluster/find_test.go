package cluster_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

func TestFind_asksOnceForAKindOfWhichNothingIsThere(t *testing.T) {
	c := testcluster.New(t)
	named := func(kind string, names ...string) (all []release.Object) {
		for _, name := range names {
			all = append(all, release.Object{APIVersion: "v1", Kind: kind, Namespace: c.Namespace, Name: name})
		}
		return all
	}
	for _, name := range []string{"a", "b", "other"} {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"of": name}}
		if _, err := c.Client.Kube.CoreV1().ConfigMaps(c.Namespace).Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		objects  []release.Object
		found    []string
		requests int
	}{
		"one, there":          {named("ConfigMap", "a"), []string{"a"}, 1},
		"one, not there":      {named("ConfigMap", "x"), nil, 1},
		"many, none there":    {named("Secret", "x", "y", "z"), nil, 1},
		"many, one there":     {named("ConfigMap", "a", "x", "y"), []string{"a"}, 2},
		"many, two there":     {named("ConfigMap", "a", "b", "x"), []string{"a", "b"}, 2},
		"a kind that is none": {[]release.Object{{APIVersion: "acme.example/v1", Kind: "Rocket", Namespace: c.Namespace, Name: "a"}}, nil, 0},
		"without a namespace": {[]release.Object{{APIVersion: "v1", Kind: "Namespace", Name: c.Namespace}, {APIVersion: "v1", Kind: "Namespace", Name: "no-such"}}, []string{c.Namespace}, 2},
	} {
		found, requests, err := c.Client.Find(t.Context(), test.objects)
		if err != nil || requests != test.requests || len(found) != len(test.found) {
			t.Errorf("%s: %d found with %d requests (%v), want %d with %d", name, len(found), requests, err, len(test.found), test.requests)
		}
		for _, o := range test.objects {
			u := found[o.Key()]
			if u == nil || o.Kind != "ConfigMap" {
				continue
			}
			if data, _ := u.Object["data"].(map[string]any); data["of"] != o.Name {
				t.Errorf("%s: %s was found with %v", name, o, data)
			}
		}
	}
}

func TestWithdraw_leavesWhatOthersSaidAndMakesNothing(t *testing.T) {
	c := testcluster.New(t)
	maps := c.Client.Kube.CoreV1().ConfigMaps(c.Namespace)
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"team": "shop"}}, Data: map[string]string{"a": "1"}}
	if _, err := maps.Create(t.Context(), theirs, metav1.CreateOptions{FieldManager: "somebody"}); err != nil {
		t.Fatal(err)
	}
	u := object(t, c.Namespace, `{apiVersion: v1, kind: ConfigMap, metadata: {name: web, labels: {ours: "yes"}}, data: {a: "1", b: "2"}}`)
	applied, err := c.Client.Apply(t.Context(), u, cluster.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o := release.Describe(u)
	o.UID = string(applied.GetUID())
	if err := c.Client.Unlabel(t.Context(), o, "ours"); err != nil {
		t.Fatal(err)
	}
	now, err := maps.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || len(now.Labels) != 1 || len(now.Data) != 2 {
		t.Fatalf("without our label it is %v %v (%v)", now.Labels, now.Data, err)
	}
	if err := c.Client.Withdraw(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	now, err = maps.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || now.Labels["team"] != "shop" || len(now.Data) != 1 || now.Data["a"] != "1" {
		t.Fatalf("given up it is %v %v (%v)", now.Labels, now.Data, err)
	}
	if err := maps.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Withdraw(t.Context(), o); err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
	if err := c.Client.Unlabel(t.Context(), o, "ours"); err != nil {
		t.Errorf("the labels of one that is gone: %v", err)
	}
	if get(t, c.Client, u) != nil {
		t.Error("giving it up made it anew")
	}
}
