package registry

import (
	"strings"
	"testing"
)

func TestNext_namesNoInputThatTheActionLacks(t *testing.T) {
	t.Parallel()
	for _, next := range []string{
		(&OutageError{noInputs: true}).Next(),
		(&CredentialError{Registry: GHCR, Source: "the actor and github-token", noInputs: true}).Next(),
		(&CredentialError{Registry: "registry.example", Source: "DOCKER_CONFIG", noInputs: true}).Next(),
	} {
		if next == "" || strings.Contains(next, "registry-") || strings.Contains(next, "retry-timeout") {
			t.Errorf("next: %q", next)
		}
	}
	if next := (&OutageError{}).Next(); !strings.Contains(next, "retry-timeout") {
		t.Errorf("next: %q", next)
	}
	if next := (&CredentialError{Registry: "registry.example", Source: "DOCKER_CONFIG"}).Next(); !strings.Contains(next, "registry-username") {
		t.Errorf("next: %q", next)
	}
	if c := New(Options{}); c.keys.given.Registry != "" {
		t.Error("who gives no credentials has inputs for them")
	}
}
