package workflows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/fibership/fibership/internal/testcluster"
)

var (
	// act is what the tests of this package share; nil where it cannot be had.
	act *Act
	// absent says what of it is not on this machine, broken what went wrong
	// with what is there.
	absent, broken error
)

func TestMain(m *testing.M) {
	end := setUp()
	code := m.Run()
	if err := end(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// setUp starts the engine and makes the images, where there is a cluster to
// do it for. What it returns undoes it.
func setUp() (end func() error) {
	nothing := func() error { return nil }
	if os.Getenv("FIBERSHIP_TEST_CLUSTER") == "" {
		return nothing // as the tests find out themselves
	}
	rig, err := Find(filepath.Join("..", ".."))
	if err != nil {
		broken = err
		return nothing
	}
	if err := rig.Missing(); err != nil {
		absent = fmt.Errorf("%w; `make workflows` sees to it", err)
		return nothing
	}
	ctx := context.Background()
	engine, err := start(ctx, rig.cached("engine"))
	if err != nil {
		broken = err
		return nothing
	}
	ours, err := os.MkdirTemp("", "fibership-published-")
	if err == nil {
		act, err = newAct(ctx, rig, engine, ours)
	}
	broken = err
	return func() error { return errors.Join(engine.prune(ctx), engine.Close(), os.RemoveAll(ours)) }
}

// newAct makes the images, and puts into ours what a `uses:` line of this
// repository gets.
func newAct(ctx context.Context, rig *Rig, engine *Engine, ours string) (*Act, error) {
	if err := errors.Join(publish(rig.Root, ours), engine.images(ctx, rig, ours)); err != nil {
		return nil, err
	}
	pipeline, err := os.ReadFile(filepath.Join(rig.Root, ".github", "workflows", "pipeline.yml"))
	if err != nil {
		return nil, err
	}
	replaced := map[string]string{"fibership/fibership@v1": ours}
	for _, name := range []string{"cache", "upload-artifact"} {
		standIn, err := filepath.Abs(filepath.Join("testdata", name))
		if err != nil {
			return nil, err
		}
		replaced[regexp.MustCompile(`actions/`+name+`@[0-9a-f]{40}`).FindString(string(pipeline))] = standIn
	}
	// In there act keeps checkouts. It would make the folder for us alone, and
	// build-image compiles as a user who must be able to read them.
	if err := os.MkdirAll(rig.cached("runner", "act"), 0o755); err != nil {
		return nil, err
	}
	return &Act{rig: rig, engine: engine, replaced: replaced}, nil
}

// publish copies what a `uses:` line gets of this repository, and no more of
// it than is asked for.
func publish(root, to string) error {
	for _, name := range []string{"action.yml", "Dockerfile", ".dockerignore", "go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o644); err != nil {
			return err
		}
	}
	for _, name := range []string{".github", "actions", "cmd", "internal"} {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(root, name))); err != nil {
			return err
		}
	}
	return nil
}

// need skips the test where workflows cannot be run, and fails it in CI.
func need(t *testing.T) *Act {
	t.Helper()
	testcluster.Need(t)
	if broken != nil {
		t.Fatal(broken)
	}
	if absent != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(absent)
		}
		t.Skip(absent)
	}
	return act
}
