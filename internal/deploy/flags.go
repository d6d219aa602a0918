package deploy

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/flags"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/release"
)

// Flagged is the plan with its flags as they will be: what an earlier ramp
// reached stays, as long as the file says of the flag what it said then, so
// that no deploy closes a feature on its way. The ramps that are left to do are
// in the plan's record. It is told in a line where something stays or does not.
func (s *Session) Flagged(p Plan) (Plan, error) {
	if p.Flags == nil {
		return p, nil
	}
	file := p.Flags
	live, _ := s.History.Live()
	p.Record.Ramp = nil
	for _, kept := range live.Taken() {
		flag := kept.Flag
		definition, ok := file.Definition(flag)
		switch {
		case !ok:
			s.Log.Linef("flag %s, which release %d opened to %d%%, is not in the flag file any more", flag, kept.Release, kept.Reached)
			continue
		case definition != kept.Definition:
			s.Log.Linef("flag %s begins as the flag file says: its definition changed since release %d opened it to %d%%", flag, kept.Release, kept.Reached)
			continue
		}
		opened, err := file.Open(flag, kept.Variant, kept.Reached)
		if err != nil {
			return p, &Refusal{Reason: fmt.Sprintf("keep what release %d reached", kept.Release), Err: err}
		}
		file = opened
		p.Record.Ramp = append(p.Record.Ramp, kept)
		s.Log.Linef("flag %s stays at %d%% (variant %s), as the ramp of release %d left it", flag, kept.Reached, kept.Variant, kept.Release)
	}
	for _, ramp := range p.Ramp {
		for _, kept := range p.Record.Ramp {
			if kept.Flag == ramp.Flag && kept.Variant == ramp.Variant {
				ramp = ramp.Above(kept.Reached)
			}
		}
		if len(ramp.Steps) == 0 {
			s.Log.Linef("flag %s is as open as its ramp would make it", ramp.Flag)
			continue
		}
		definition, _ := p.Flags.Definition(ramp.Flag)
		p.Record.Ramp = append(p.Record.Ramp, release.Ramp{Flag: ramp.Flag, Variant: ramp.Variant, Definition: definition, Steps: ramp.Steps})
		s.Log.Linef("flag %s is opened step by step once the release is out", ramp)
	}
	p.Objects = slices.Clone(p.Objects)
	i, err := flagsObject(s.Service, p.Objects)
	if err != nil {
		return p, err
	}
	p.Objects[i] = holding(p.Objects[i], file)
	return p, nil
}

// toRamp says whether a flag is left to be opened.
func (p Plan) toRamp() bool {
	return slices.ContainsFunc(p.Record.Ramp, func(r release.Ramp) bool { return len(r.Steps) > 0 })
}

// flagsObject finds the ConfigMap with the flags among a release's objects.
func flagsObject(service string, objects []*unstructured.Unstructured) (int, error) {
	i := slices.IndexFunc(objects, func(u *unstructured.Unstructured) bool {
		return u.GetKind() == "ConfigMap" && u.GetAPIVersion() == "v1" && u.GetName() == manifests.FlagsName(service)
	})
	if i < 0 {
		return 0, fmt.Errorf("the release has no ConfigMap %s for its flags", manifests.FlagsName(service))
	}
	return i, nil
}

// holding is the ConfigMap with the file in it.
func holding(u *unstructured.Unstructured, file *flags.File) *unstructured.Unstructured {
	u = u.DeepCopy()
	u.Object["data"] = map[string]any{manifests.FlagsKey: file.JSON()}
	return u
}

// objects is the whole of a release as it stood when it had ended: with its
// flags as open as its ramp had made them.
func (s *Session) objects(ctx context.Context, r release.Record) ([]*unstructured.Unstructured, error) {
	objects, err := s.store.Objects(ctx, r)
	if err != nil {
		return nil, err
	}
	i, err := flagsObject(s.Service, objects)
	if err != nil {
		return objects, nil //nolint:nilerr // a release without flags
	}
	objects[i], err = opened(objects[i], r.Ramp)
	if err != nil {
		return nil, fmt.Errorf("flags of release %d: %w", r.Revision, err)
	}
	return objects, nil
}

// opened is a release's ConfigMap once its own ramps stand where they say.
func opened(u *unstructured.Unstructured, ramps []release.Ramp) (*unstructured.Unstructured, error) {
	text, ok, _ := unstructured.NestedString(u.Object, "data", manifests.FlagsKey)
	if !ok {
		return u, nil // not ours: a user's ConfigMap of that name
	}
	var file *flags.File
	for _, r := range ramps {
		percent, ok := r.Share()
		if !ok || r.Outcome == release.Taken { // these the release was brought with
			continue
		}
		var err error
		if file == nil {
			if file, err = flags.Read(text); err != nil {
				return nil, err
			}
		}
		if file, err = file.Open(r.Flag, r.Variant, percent); err != nil {
			return nil, err
		}
	}
	if file == nil {
		return u, nil
	}
	return holding(u, file), nil
}
