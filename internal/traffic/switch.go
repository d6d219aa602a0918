package traffic

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// Switch leads all traffic of a release's Services from one version to the
// other, in one step: a Service selects either the live pods or those beside.
type Switch struct {
	versions
	live    []*unstructured.Unstructured // the live version's objects
	steered release.Steered
}

// NewSwitch is for the objects of the new release and those of the live one.
// The error says why the one cannot be switched to from the other.
func NewSwitch(ctx context.Context, c *cluster.Client, objects, live []*unstructured.Unstructured) (*Switch, error) {
	v, err := pairUp(ctx, c, objects, selectors(objects))
	if err != nil {
		return nil, err
	}
	s := &Switch{versions: v, live: live}
	s.steered.Services, err = v.pins(ctx, objects, live)
	return s, err
}

// pins is what the live version's Services before the paired Deployments are
// held to. The new release must have them as well.
func (v *versions) pins(ctx context.Context, objects, live []*unstructured.Unstructured) ([]release.Pinned, error) {
	paired := make(map[string]bool)
	for _, p := range v.pairs {
		paired[p.live.Namespace+"/"+p.live.Name] = true
	}
	var services []release.Pinned
	for _, u := range fronting(live, paired) {
		s := release.Pinned{Namespace: u.GetNamespace(), Name: u.GetName()}
		if find(objects, s) == nil {
			return nil, fmt.Errorf("service %s of the live release is not in the new one: traffic cannot be led from the one to the other; use strategy rolling", s.Name)
		}
		if !v.selects(u, live) {
			return nil, fmt.Errorf("service %s does not select the pods of the new release, whose labels are others; use strategy rolling", s.Name)
		}
		services = append(services, s)
	}
	if len(services) == 0 {
		return nil, fmt.Errorf("no Service of the live release stands before the Deployments: use strategy rolling")
	}
	return Pins(ctx, v.cluster, live, services)
}

// selects says whether a Service of the live version selects what is to stand
// beside each Deployment behind it.
func (v *versions) selects(service *unstructured.Unstructured, live []*unstructured.Unstructured) bool {
	for _, d := range behind(live, service) {
		for _, p := range v.pairs {
			if d.GetNamespace() == p.live.Namespace && d.GetName() == p.live.Name &&
				!labels.SelectorFromSet(selectorOf(service)).Matches(labels.Set(p.canary.Spec.Template.Labels)) {
				return false
			}
		}
	}
	return true
}

// Hold pins the Services to the live version.
func (s *Switch) Hold(ctx context.Context, note Note) error {
	pins, err := hold(ctx, s.cluster, s.live, s.steered, note)
	s.steered.Services = pins
	return err
}

// hold pins to what is live now.
func hold(ctx context.Context, c *cluster.Client, live []*unstructured.Unstructured, s release.Steered, note Note) ([]release.Pinned, error) {
	pins, err := Pins(ctx, c, live, s.Services)
	if err != nil {
		return nil, err
	}
	s.Services = pins
	if err := note(ctx, s); err != nil {
		return pins, err
	}
	return pins, Select(ctx, c, live, pins, false)
}

// Shift leads all traffic to what stands beside, or, at 0, back.
func (s *Switch) Shift(ctx context.Context, weight int, note Note) (reached float64, err error) {
	pins := make([]release.Pinned, len(s.steered.Services))
	for i, p := range s.steered.Services {
		p.Beside = weight > 0
		pins[i] = p
	}
	s.steered.Services = pins
	if err := note(ctx, s.steered); err != nil {
		return 0, err
	}
	if err := Select(ctx, s.cluster, s.live, pins, false); err != nil {
		return 0, err
	}
	if weight > 0 {
		return 100, nil
	}
	return 0, nil
}
