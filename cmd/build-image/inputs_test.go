package main

import (
	"context"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/action/actiontest"
)

func TestInputs_platformsAreAListLikeAnyOther(t *testing.T) {
	got, err := parsePlatforms("# both\nlinux/amd64, linux/arm64\nlinux/amd64\n")
	if err != nil || len(got) != 2 || got[0].String() != "linux/amd64" || got[1].String() != "linux/arm64" {
		t.Errorf("%v, error %v", got, err)
	}
	for _, text := range []string{",", "# none", " , \n,"} {
		if _, err := parsePlatforms(text); err == nil || !strings.Contains(err.Error(), "expected one platform at the least") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestInputs_noCoverageWithoutTests(t *testing.T) {
	act(t, orders().write(t), inputs{"image": "127.0.0.1:1/acme/orders", "tests": "none", "min-coverage": "70%", "platforms": ","}).
		wants(t, 2, "platforms")
	act(t, orders().write(t), inputs{"image": "127.0.0.1:1/acme/orders", "tests": "none", "min-coverage": "70%"}).
		wants(t, 2, "min-coverage", "with `tests: none` nothing is covered")
}

func TestInputs_theActorIsTheUserOfGitHubsRegistry(t *testing.T) {
	for image, exit := range map[string]int{"ghcr.io/acme/orders": 0, "docker.io/acme/orders": 2} {
		got := actiontest.Exec(t, spec, func(_ context.Context, r *action.Run) error {
			_, err := plan(r, t.TempDir(), nil)
			return err
		}, map[string]string{"image": image, "tags": "v1", "registry-password": "hunter2hunter2"}, "GITHUB_ACTOR=octocat", "GITHUB_WORKSPACE="+t.TempDir())
		if got.Exit != exit {
			t.Errorf("%s: exit %d, log:\n%s", image, got.Exit, got.Log)
		}
	}
}
