package deploy

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/flags"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

const flagText = `{"flags": {
  "a": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"},
  "b": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}`

// heard is a log that keeps its lines.
type heard struct {
	progress.Log
	lines []string
}

func (h *heard) Linef(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

func flagFileOf(t *testing.T, text string) *flags.File {
	t.Helper()
	f, err := flags.Parse("flags.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// flaggedPlan is a plan with the file and ramps, after a live release with the ramps.
func flaggedPlan(t *testing.T, text string, live []release.Ramp, ramps ...string) (Plan, string) {
	t.Helper()
	file := flagFileOf(t, text)
	p := Plan{Flags: file, Objects: []*unstructured.Unstructured{manifests.Flags("web", file).Unstructured}}
	for _, line := range ramps {
		r, err := flags.ParseRamp(line)
		if err == nil {
			r, err = r.In(file)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Ramp = append(p.Ramp, r)
	}
	log := &heard{Log: progress.Discard}
	s := &Session{
		Target:  Target{Service: "web", Log: log},
		History: release.History{{Revision: 3, Status: release.Succeeded, Ramp: live}},
	}
	p, err := s.Flagged(p)
	if err != nil {
		t.Fatal(err)
	}
	return p, strings.Join(log.lines, "\n")
}

func held(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	text, ok, err := unstructured.NestedString(u.Object, "data", manifests.FlagsKey)
	if !ok || err != nil {
		t.Fatalf("%v, %v", u.Object, err)
	}
	return text
}

func TestFlagged_keepsWhatARampReachedWhileTheDefinitionStays(t *testing.T) {
	t.Parallel()
	file := flagFileOf(t, flagText)
	definition, _ := file.Definition("a")
	open := release.Ramp{Flag: "a", Variant: "on", Definition: definition, Reached: 25, Outcome: release.Open}
	at := func(percent int) string {
		opened, err := file.Open("a", "on", percent)
		if err != nil {
			t.Fatal(err)
		}
		return opened.JSON()
	}

	p, told := flaggedPlan(t, flagText, []release.Ramp{open}, "a: 5%, 25%, 100%", "b: 5%")
	if held(t, p.Objects[0]) != at(25) || !strings.Contains(told, "flag a stays at 25% (variant on), as the ramp of release 3 left it") {
		t.Errorf("%s\n%s", told, held(t, p.Objects[0]))
	}
	if len(p.Record.Ramp) != 3 || p.Record.Ramp[0].Outcome != release.Taken || p.Record.Ramp[0].Release != 3 ||
		len(p.Record.Ramp[1].Steps) != 1 || p.Record.Ramp[1].Steps[0] != 100 || len(p.Record.Ramp[2].Steps) != 1 || !p.toRamp() {
		t.Errorf("%+v", p.Record.Ramp)
	}

	closed := open
	closed.Outcome = release.Closed
	p, _ = flaggedPlan(t, flagText, []release.Ramp{closed}, "a: 5%, 25%")
	if held(t, p.Objects[0]) != at(0) || len(p.Record.Ramp[1].Steps) != 2 {
		t.Errorf("closed: %+v\n%s", p.Record.Ramp, held(t, p.Objects[0]))
	}

	p, told = flaggedPlan(t, strings.Replace(flagText, `"state"`, `"metadata": {"v": 2}, "state"`, 1), []release.Ramp{open})
	if strings.Contains(held(t, p.Objects[0]), "fractional") || !strings.Contains(told, "its definition changed") || len(p.Record.Ramp) > 0 {
		t.Errorf("another definition: %s\n%s", told, held(t, p.Objects[0]))
	}

	p, told = flaggedPlan(t, flagText, []release.Ramp{open}, "a: 5%")
	if p.toRamp() || !strings.Contains(told, "is as open as its ramp would make it") {
		t.Errorf("nothing is left to open: %s, %+v", told, p.Record.Ramp)
	}
}

func TestOpened_isWhatTheRampsOfTheReleaseMade(t *testing.T) {
	t.Parallel()
	file := flagFileOf(t, flagText)
	u := manifests.Flags("web", file).Unstructured
	opened, err := opened(u, []release.Ramp{
		{Flag: "a", Variant: "on", Reached: 100, Outcome: release.Taken}, // is in the object already, or would be
		{Flag: "a", Variant: "on", Reached: 25, Outcome: release.Open},
		{Flag: "b", Variant: "on", Reached: 5, Outcome: release.Closed},
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := file.Open("a", "on", 25)
	if err == nil {
		want, err = want.Open("b", "on", 0)
	}
	if err != nil || held(t, opened) != want.JSON() {
		t.Errorf("%v: %s\nwant %s", err, held(t, opened), want.JSON())
	}
	if held(t, u) != file.JSON() {
		t.Error("the release's own object changed")
	}
	for _, as := range []release.Opened{release.NotOpened, release.Returned} {
		same, err := openedAs(u, as)
		if err != nil || held(t, same) != file.JSON() {
			t.Errorf("%q: %v, %s", as, err, held(t, same))
		}
	}
}

func openedAs(u *unstructured.Unstructured, as release.Opened) (*unstructured.Unstructured, error) {
	return opened(u, []release.Ramp{{Flag: "a", Variant: "on", Reached: 25, Outcome: as}})
}

func TestCompare_knowsWhatARampMade(t *testing.T) {
	t.Parallel()
	u := manifests.Flags("web", flagFileOf(t, flagText)).Unstructured
	u.SetLabels(Labels("web", "staging"))
	u.SetUID("1")
	u.SetResourceVersion("7")
	o := release.Describe(u)
	o.Now, o.Hash, o.UID, o.Seen = o.Hash, "another", "1", "r7"
	changes := compare([]*unstructured.Unstructured{u}, []release.Object{o}, nil, map[string]*unstructured.Unstructured{o.Key(): u}, nil)
	if changes[0].Verb != Same {
		t.Errorf("it is to be %sd", changes[0].Verb)
	}
}
