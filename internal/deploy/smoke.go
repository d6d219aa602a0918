package deploy

import (
	"context"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/load"
	"github.com/fibership/fibership/internal/release"
)

// Test puts a release to the test that serves.
type Test interface {
	// Ready refuses, before anything is written, what cannot work here.
	Ready(ctx context.Context, s *Session) error
	// Run gives what was found, and may put more into the record. An error
	// beside results explains them.
	Run(ctx context.Context, s *Session, r *release.Record) ([]analysis.Result, error)
}

// test puts a release to one test after another until one fails. What they
// find goes into the record.
func (s *Session) test(ctx context.Context, tests []Test, r *release.Record) error {
	for _, test := range tests {
		results, err := test.Run(ctx, s, r)
		r.Checks = append(r.Checks, results...)
		if err == nil {
			err = Passed(ctx, results)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Smoke is a test by requests to the release's Service through the API server,
// so that no ingress is needed and no port need be open.
func Smoke(front Front, tests []load.Smoke) Test { return smoke{front, tests} }

type smoke struct {
	front Front
	tests []load.Smoke
}

func (smoke) Ready(context.Context, *Session) error { return nil }

func (t smoke) Run(ctx context.Context, s *Session, _ *release.Record) ([]analysis.Result, error) {
	client, base, err := s.Cluster.ServiceURL(t.front.Namespace, t.front.Service, t.front.Port)
	if err != nil {
		return nil, err
	}
	var results []analysis.Result
	for _, test := range t.tests {
		result := test.Run(ctx, client, base, s.veil.Foreign(ctx))
		s.Log.Linef("smoke test %s: %s %s", result.Check, result.Verdict, result.Detail)
		results = append(results, result)
	}
	return results, nil
}
