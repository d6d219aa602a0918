package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/progress"
)

// dryRunsAtOnce bounds the server's dry runs in flight.
const dryRunsAtOnce = 8

// A release of up to 500 changed objects costs at most 550 requests in all,
// and a larger one 9 % more than it has objects: what is left of that
// after the applying is spent on dry runs.
const (
	fewest = 550
	around = 49 // requests of a deploy beside those for each object, kind and check; some renew the lock
)

// try lets the API server judge the objects that would be sent, by its dry run:
// schema, validation, admission, rights and conflicts. Where they are too many
// for that, those of which it can tell the most are tried, at least one of each
// kind as far as it goes, and the others are judged here, by the server's own
// schemas. Nothing is written.
func (s *Session) try(ctx context.Context, p Plan, changes []Change, spent int) []error {
	scaled, err := s.autoscaled(ctx)
	if err != nil {
		return []error{err}
	}
	tried, judged := s.choose(changes, spent)
	errs := make([]error, len(changes))
	var group errgroup.Group
	group.SetLimit(dryRunsAtOnce)
	for _, i := range tried {
		group.Go(func() error {
			errs[i] = s.dryRun(ctx, &changes[i], scaled, p.Record.Restored > 0)
			return nil
		})
	}
	if len(judged) > 0 {
		s.Log.Linef("%d objects differ: %d are tried by a dry run, %d are judged by the API server's schemas", len(tried)+len(judged), len(tried), len(judged))
	}
	for _, i := range judged {
		c := changes[i]
		o := options(c.Wanted)
		o.Force = o.Force || p.Record.Restored > 0
		errs[i] = s.Cluster.Judge(ctx, scaled.keep(c), c.Live, o)
	}
	_ = group.Wait() // the functions keep their errors, so that all are told
	var problems []error
	for i, err := range errs {
		if err != nil {
			problems = append(problems, placed{p.Places.at(changes[i].Wanted, err.Error()), err})
		}
	}
	return problems
}

// placed is an error with the place of its object.
type placed struct {
	words string
	error
}

func (p placed) Error() string { return p.words }
func (p placed) Unwrap() error { return p.error }

// dryRun keeps what the server would make of a change. Where a release is
// restored, fields that somebody took since are named: they are taken back.
func (s *Session) dryRun(ctx context.Context, c *Change, scaled scaled, restoring bool) error {
	o := options(c.Wanted)
	o.DryRun = true
	after, err := s.Cluster.Apply(ctx, scaled.keep(*c), o)
	if conflict, is := errors.AsType[*cluster.ConflictError](err); is && restoring {
		s.Log.Linef("fields are taken back: %v", conflict)
		o.Force = true
		after, err = s.Cluster.Apply(ctx, notSmaller(scaled.keep(*c), c.Live), o)
	}
	if errors.Is(err, cluster.ErrNoDryRun) {
		progress.Warn(s.Log, "no dry run", fmt.Sprintf("%s: %v", c.Object, err))
		return nil
	}
	fixed, ok := errors.AsType[*cluster.ImmutableError](err)
	if ok && kept(c.Object) {
		return fmt.Errorf("%w; it was there before the first release, so it is not deleted to be created again", err)
	}
	if ok && c.recreatable(fixed) {
		s.Log.Linef("%v: it is to be deleted and created again, as it is annotated", fixed)
		c.Verb = Recreate
		return nil
	}
	c.after = after
	return err
}

// choose says which changes are tried by the server and which are judged here,
// as places in changes. What comes with the release's own namespaces and kinds
// cannot be tried before these are there.
func (s *Session) choose(changes []Change, spent int) (tried, judged []int) {
	made := makes(changes)
	groups := make(map[schema.GroupVersion]bool)
	for i, c := range changes {
		if c.sent() && !made.waitsFor(c.Wanted) {
			tried = append(tried, i)
			groups[c.Wanted.GroupVersionKind().GroupVersion()] = true
		}
	}
	n := len(tried)
	kinds := make(map[schema.GroupKind]bool)
	rights := make(map[schema.GroupKind]bool) // that are asked for one by one
	for _, c := range changes {
		kinds[c.Object.GroupKind()] = true
		if c.Object.Namespace == "" {
			rights[c.Object.GroupKind()] = true
		}
	}
	left := max(fewest, n+n*9/100) - n - around - len(kinds) - len(rights) - s.looked - spent
	if left >= n {
		return tried, nil
	}
	left = max(0, left-1-len(groups)) // the schemas
	order := ranked(changes, tried)
	return order[:min(left, n)], order[min(left, n):]
}

// ranked puts first those of which a dry run tells the most: what is allowed to
// be made anew, then the first of each kind, then what has more to it than data.
func ranked(changes []Change, of []int) []int {
	type class struct {
		kind schema.GroupKind
		verb Verb
	}
	known := make(map[class]bool)
	rank := make(map[int]int, len(of))
	for _, i := range of {
		c := changes[i]
		_, pods := manifests.PodTemplate(c.Wanted)
		plain := cluster.Plain(c.Object.GroupKind())
		first := !known[class{c.Object.GroupKind(), c.Verb}]
		known[class{c.Object.GroupKind(), c.Verb}] = true
		switch {
		case c.Verb == Update && c.recreatable(new(cluster.ImmutableError)):
			rank[i] = 0
		case first && !plain:
			rank[i] = 1
		case first:
			rank[i] = 2
		case pods:
			rank[i] = 3
		case !plain:
			rank[i] = 4
		default:
			rank[i] = 5
		}
	}
	order := slices.Clone(of)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
	return order
}
