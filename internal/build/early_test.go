package build

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/progress"
)

// slow compiles at once for amd64, for others when something has been pushed,
// and tests until told how they end.
type slow struct {
	Toolchain
	pushed chan struct{}
	tests  chan error
}

func (s *slow) Describe(context.Context) (gobuild.Main, error) {
	return gobuild.Main{ImportPath: "m", Name: "m"}, nil
}

func (s *slow) Compile(ctx context.Context, target gobuild.Target, out string) error {
	if target.Arch != "amd64" {
		select {
		case <-s.pushed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return os.WriteFile(out, []byte(target.Arch), 0o600)
}

func (s *slow) Embeds(context.Context, gobuild.Target) ([]string, error) { return nil, nil }

func (s *slow) Test(context.Context, gobuild.Suite) (gobuild.Tests, error) {
	return gobuild.Tests{}, <-s.tests
}

// early notes the first blobs, and has nothing to push to beside.
type early struct {
	Registry
	pushed chan struct{}
}

func (e *early) Resolve(_ context.Context, ref name.Reference) (name.Digest, error) {
	return ref.Context().Digest("sha256:" + strings.Repeat("a", 64)), nil
}

func (e *early) Image(context.Context, name.Reference, v1.Platform) (v1.Image, error) {
	return empty.Image, nil
}

func (e *early) PushBlobs(context.Context, v1.Image, name.Repository) error {
	select {
	case <-e.pushed:
	default:
		close(e.pushed)
	}
	return nil
}

func (e *early) Manifest(context.Context, name.Reference) ([]byte, v1.Descriptor, error) {
	return nil, v1.Descriptor{}, errors.New("nothing")
}

func TestMake_pushesAPlatformThatIsLinkedWhenTheTestsHavePassed(t *testing.T) {
	failure := errors.New("a test failed")
	for title, outcome := range map[string]error{"tests pass": nil, "tests fail": failure} {
		t.Run(title, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			repository, err := name.NewRepository("127.0.0.1:1/acme/m")
			if err != nil {
				t.Fatal(err)
			}
			pushed, tests := make(chan struct{}), make(chan error, 1)
			b := &Build{
				Plan: Plan{
					Repository: repository, Suite: &gobuild.Suite{}, Push: true, Scratch: t.TempDir(), Base: repository.Tag("base"),
					Source:    gobuild.Source{Workspace: t.TempDir()},
					Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}},
				},
				Toolchain: &slow{pushed: pushed, tests: tests}, Registry: &early{pushed: pushed}, Log: progress.Discard,
			}
			main, err := b.Describe(ctx)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			close(done)
			tests <- outcome
			content, err := b.make(ctx, main, b.base(ctx), &search{done: done}, &Result{Seconds: map[string]float64{}})
			switch {
			case outcome == nil && (err != nil || content == nil):
				t.Errorf("the second platform waits for the first one's push in vain: %v", err)
			case outcome != nil && !errors.Is(err, outcome):
				t.Errorf("error %v", err)
			}
			select {
			case <-pushed:
				if outcome != nil {
					t.Error("it was pushed although the tests failed")
				}
			default:
			}
		})
	}
}
