package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/promote"
	"github.com/fibership/fibership/internal/release"
)

// member is a line of the input services.
type member struct {
	service string
	image   name.Reference // nil: what is live and passed
}

func parseMember(line string) (member, error) {
	service, image, given := strings.Cut(line, "=")
	service, err := target.Label(strings.TrimSpace(service))
	if err != nil {
		return member{}, err
	}
	m := member{service: service}
	if image = strings.TrimSpace(image); given && image != "" {
		m.image, err = target.Reference(image)
	}
	return m, err
}

// alone are inputs that say something of one service.
func alone() error {
	var errs []error
	for input, given := range map[string]bool{"service": in.Named(), "image": *image != nil, "host": *files.Host != "", "route": *route != "", "flags": files.HasFlags(), "ramp": len(*ramp) > 0} {
		if given {
			errs = append(errs, action.WrongInput(input, errors.New("expected to be left out beside services: it says something of one service")))
		}
	}
	seen := map[string]bool{}
	for _, m := range *services {
		if seen[m.service] {
			errs = append(errs, action.WrongInput("services", fmt.Errorf("%s is there twice", m.service)))
		}
		seen[m.service] = true
	}
	return errors.Join(errs...)
}

// checkedTogether is the services of the input and the manifests of each.
func checkedTogether(ctx context.Context, r *action.Run) ([]promote.Member, []*target.Manifests, error) {
	members, its := make([]promote.Member, len(*services)), make([]*target.Manifests, len(*services))
	errs := []error{alone()}
	for i, m := range *services {
		t, err := in.TargetOf(r, m.service)
		t.Log = progress.Named(r.Log, m.service)
		members[i].Target, its[i] = t, files.Of(m.service)
		errs = append(errs, err, read(ctx, r, t, its[i]))
	}
	return members, its, errors.Join(errs...)
}

// runTogether promotes the services of the input.
func runTogether(ctx context.Context, r *action.Run) error {
	members, its, err := checkedTogether(ctx, r)
	errs := []error{err}
	if err == nil {
		for i, m := range *services {
			plan, err := planned(ctx, r, members[i].Target, m.image, its[i])
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m.service, err))
			}
			plan.Elsewhere = i > 0 && plan.Before != nil // it runs once, before all
			members[i].Plan = plan
		}
	}
	results := refusedTogether(r, members)
	err = errors.Join(errs...)
	switch {
	case err != nil:
	case *in.DryRun:
		for i, m := range members {
			var failed error
			if results[i].Result, failed = promote.DryRun(ctx, m.Target, m.Plan); failed != nil {
				err = errors.Join(err, &promote.MemberError{Service: m.Target.Service, Err: failed})
			}
		}
	default:
		results, err = promote.Together(ctx, members)
	}
	target.TellDossier(r, err)
	return errors.Join(err, reportTogether(r, members, results, err))
}

// refusedTogether tells of promotions that came to nothing.
func refusedTogether(r *action.Run, members []promote.Member) []promote.Result {
	results := make([]promote.Result, len(members))
	for i := range results {
		results[i] = refused(r)
	}
	return results
}

// memberOutput is one of several services in the output services.
type memberOutput struct {
	Service  string         `json:"service"`
	Release  int            `json:"release,omitempty"`
	Image    string         `json:"image,omitempty"`
	Status   release.Status `json:"status"`
	Verdict  string         `json:"verdict"`
	Weight   int            `json:"weight"`
	Previous int            `json:"previousRelease,omitempty"`
}

func reportTogether(r *action.Run, members []promote.Member, results []promote.Result, err error) error {
	var all []memberOutput
	for i, m := range members {
		result := results[i]
		all = append(all, memberOutput{
			Service: m.Target.Service, Release: result.Record.Revision, Image: result.Record.Image, Status: result.Status,
			Verdict: verdict(result), Weight: result.Weight, Previous: result.Previous.Revision,
		})
		target.Summary(r, "Promote", m.Target, result.Result, errorOf(m.Target.Service, err))
		r.Summary(picture(result.Samples))
	}
	errs := []error{target.SetJSON(r, "services", all)}
	if len(results) > 0 {
		errs = append(errs, outputs(r, members[0].Target, results[0]))
	}
	return errors.Join(errs...)
}

// errorOf is what of the errors of all is a service's own; nil where nothing is.
func errorOf(service string, err error) error {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case nil:
		return nil
	case *promote.MemberError:
		if e.Service == service {
			return e.Err
		}
		return nil
	case interface{ Unwrap() []error }:
		var own []error
		for _, part := range e.Unwrap() {
			own = append(own, errorOf(service, part))
		}
		return errors.Join(own...)
	}
	return err
}
