package deploy

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/release"
)

func object(name, content string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": "staging", "labels": map[string]any{serviceLabel: "web", environmentLabel: "staging"}},
		"data":     map[string]any{"content": content},
	}}
}

// live is the object as the cluster holds it.
func live(u *unstructured.Unstructured, uid, version string) *unstructured.Unstructured {
	l := u.DeepCopy()
	l.SetUID(types.UID(uid))
	l.SetResourceVersion(version)
	return l
}

// applied is what a record says of an object that was applied and seen so.
func applied(u *unstructured.Unstructured, uid, seen string) release.Object {
	o := release.Describe(u)
	o.UID, o.Seen = uid, seen
	return o
}

// adoptedOne is the same of an object that was there before.
func adoptedOne(u *unstructured.Unstructured, uid, seen string) release.Object {
	o := applied(u, uid, seen)
	o.Adopted = true
	return o
}

func unlabelled(u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetLabels(nil)
	return u
}

// ending is the object as it is while it is being deleted.
func ending(u *unstructured.Unstructured) *unstructured.Unstructured {
	now := metav1.Now()
	u.SetDeletionTimestamp(&now)
	return u
}

func TestCompare_sendsWhatDiffersAndRemovesWhatLeft(t *testing.T) {
	t.Parallel()
	one, other := object("a", "1"), object("a", "2")
	gone, kept := object("gone", "1"), object("kept", "1")
	space := object("space", "")
	space.SetKind("Namespace")
	for name, c := range map[string]struct {
		wanted []*unstructured.Unstructured
		base   []release.Object
		live   []*unstructured.Unstructured
		needed []string
		want   string
	}{
		"nothing there":              {wanted: only(one), want: "create a"},
		"as it was applied":          {only(one), []release.Object{applied(one, "u", "r5")}, only(live(one, "u", "5")), nil, "unchanged a"},
		"changed in the manifests":   {only(other), []release.Object{applied(one, "u", "r5")}, only(live(one, "u", "5")), nil, "update a"},
		"touched in the cluster":     {only(one), []release.Object{applied(one, "u", "r5")}, only(live(one, "u", "6")), nil, "update a"},
		"made anew by someone":       {only(one), []release.Object{applied(one, "u", "r5")}, only(live(one, "v", "5")), nil, "update a"},
		"never seen after applying":  {only(one), []release.Object{release.Describe(one)}, only(live(one, "u", "5")), nil, "update a"},
		"not ours by any record":     {only(one), nil, only(live(one, "u", "5")), nil, "adopt and update a"},
		"there before, nobody's":     {only(one), nil, only(unlabelled(live(one, "u", "5"))), nil, "adopt and update a"},
		"our label taken off":        {only(one), []release.Object{applied(one, "u", "r5")}, only(unlabelled(live(one, "u", "5"))), nil, "update a"},
		"made anew without a label":  {only(one), []release.Object{applied(one, "u", "r5")}, only(unlabelled(live(one, "v", "5"))), nil, "adopt and update a"},
		"adopted, as it was applied": {only(one), []release.Object{adoptedOne(one, "u", "r5")}, only(live(one, "u", "5")), nil, "unchanged (adopted) a"},
		"adopted, then deleted":      {only(one), []release.Object{adoptedOne(one, "u", "r5")}, nil, nil, "create a"},
		"adopted, left":              {nil, []release.Object{adoptedOne(gone, "u", "r5")}, only(live(gone, "u", "5")), nil, "leave (adopted) gone"},
		"adopted later on, left":     {nil, []release.Object{adoptedOne(gone, "v", "r7"), applied(gone, "u", "r5")}, only(live(gone, "v", "7")), nil, "leave (adopted) gone"},
		"a namespace that left":      {nil, []release.Object{applied(space, "u", "r5")}, only(live(space, "u", "5")), nil, "leave space"},
		"being deleted":              {only(one), []release.Object{applied(one, "u", "r5")}, only(ending(live(one, "u", "5"))), nil, "recreate a"},
		"left the manifests":         {nil, []release.Object{applied(gone, "u", "r5")}, only(live(gone, "u", "5")), nil, "remove gone"},
		"left, and gone already":     {nil, []release.Object{applied(gone, "u", "r5")}, nil, nil, ""},
		"left, and needed still":     {nil, []release.Object{applied(kept, "u", "r5")}, only(live(kept, "u", "5")), []string{release.Describe(kept).Key()}, ""},
	} {
		there := make(map[string]*unstructured.Unstructured)
		for _, u := range c.live {
			there[release.Describe(u).Key()] = u
		}
		needed := make(map[string]bool)
		for _, key := range c.needed {
			needed[key] = true
		}
		var got []string
		for _, change := range compare(c.wanted, c.base, c.base, there, needed) {
			verb := string(change.Verb)
			switch {
			case change.newly:
				verb = "adopt and " + verb
			case change.Object.Adopted:
				verb += " (adopted)"
			}
			got = append(got, verb+" "+change.Object.Name)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", name, strings.Join(got, ", "), c.want)
		}
	}
}

func only(u *unstructured.Unstructured) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{u}
}
