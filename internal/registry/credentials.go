package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/fibership/fibership/internal/progress"
)

// GHCR is GitHub's own registry, which takes the job's token.
const GHCR = "ghcr.io"

// Sources of credentials, in words.
const (
	fromInputs = "registry-username and registry-password"
	fromJob    = "the actor and github-token"
	fromConfig = "DOCKER_CONFIG"
)

// Credentials are those that a workflow gives, and for which registry.
type Credentials struct {
	Registry    string // that Username and Password are for, as in name.Registry; empty: the action has no inputs for them
	Username    string
	Password    string
	GitHubActor string // with GitHubToken for ghcr.io
	GitHubToken string
}

// Pass is a user and a password, and where they come from, in words.
type Pass struct{ Source, Username, Password string }

// Login gets a pass for the registry of a repository; nil where it has none.
type Login func(ctx context.Context, repository name.Repository) (*Pass, error)

// keychain finds credentials: what was given, then the job's token, then what
// login gets, then DOCKER_CONFIG.
type keychain struct {
	given  Credentials
	login  Login
	log    progress.Log
	told   *sync.Map // registries whose source was told
	passes *sync.Map // by registry: *Pass, nil for none
}

// pass asks login once for each registry. What fails there is told, and
// DOCKER_CONFIG may still have what it takes.
func (k keychain) pass(ctx context.Context, repository name.Repository) *Pass {
	if pass, known := k.passes.Load(repository.RegistryStr()); known {
		return pass.(*Pass)
	}
	if k.login == nil {
		return nil
	}
	pass, err := k.login(ctx, repository)
	switch {
	case ctx.Err() != nil:
		return nil // nothing is known
	case err != nil:
		text := fmt.Sprintf("for %s: %v", repository.RegistryStr(), err)
		if next, ok := errors.AsType[interface {
			error
			Next() string
		}](err); ok {
			text += "; " + next.Next()
		}
		progress.Warn(k.log, "credentials", text)
		pass = nil
	}
	k.passes.Store(repository.RegistryStr(), pass)
	return pass
}

// source is where credentials for registry come from, in words.
func (k keychain) source(registry string) string {
	switch {
	case k.given.Password != "" && k.given.Registry == registry:
		return fromInputs
	case k.given.GitHubToken != "" && registry == GHCR:
		return fromJob
	}
	if pass, known := k.passes.Load(registry); known && pass.(*Pass) != nil {
		return pass.(*Pass).Source
	}
	return fromConfig
}

func (k keychain) resolve(ctx context.Context, repository name.Repository) (authn.Authenticator, error) {
	registry := repository.RegistryStr()
	source := k.source(registry)
	if source == fromConfig && k.pass(ctx, repository) != nil {
		source = k.source(registry)
	}
	var auth authn.Authenticator
	switch source {
	case fromInputs:
		auth = &authn.Basic{Username: k.given.Username, Password: k.given.Password}
	case fromJob:
		auth = &authn.Basic{Username: k.given.GitHubActor, Password: k.given.GitHubToken}
	case fromConfig:
		var err error
		auth, err = authn.Resolve(ctx, authn.DefaultKeychain, repository)
		if err != nil {
			return nil, &CredentialError{Registry: registry, Source: source, Cause: err, noInputs: k.given.Registry == ""}
		}
		if auth == authn.Anonymous {
			source = "nowhere: none are given, and DOCKER_CONFIG has none"
		}
	default:
		pass := k.pass(ctx, repository)
		auth = &authn.Basic{Username: pass.Username, Password: pass.Password}
	}
	if _, told := k.told.LoadOrStore(registry, true); !told {
		k.log.Linef("credentials for %s: from %s", registry, source)
	}
	return auth, nil
}

// CredentialError is a registry that does not let us in.
type CredentialError struct {
	Registry   string
	Repository string
	User       string // empty for nobody
	Source     string
	Status     int // HTTP's, 0 where it came to no request
	Cause      error
	noInputs   bool // the action has no inputs for user and password
}

func (e *CredentialError) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("read credentials for %s from %s: %v", e.Registry, e.Source, e.Cause)
	case e.User == "":
		return fmt.Sprintf("registry %s refuses access to %s without credentials (%d %s)", e.Registry, e.Repository, e.Status, http.StatusText(e.Status))
	case e.Status == http.StatusForbidden:
		return fmt.Sprintf("registry %s does not allow user %q (from %s) to use %s (403 Forbidden)", e.Registry, e.User, e.Source, e.Repository)
	default:
		return fmt.Sprintf("registry %s refuses user %q (from %s): wrong user or password (%d %s)", e.Registry, e.User, e.Source, e.Status, http.StatusText(e.Status))
	}
}

func (e *CredentialError) Unwrap() error { return e.Cause }

// Next names the input to set, or what takes its place.
func (e *CredentialError) Next() string {
	const mounted = "let DOCKER_CONFIG name a folder in the workspace whose config.json may pull from there: a container action does not see the host's ~/.docker nor its credential helpers"
	switch {
	case e.noInputs && e.Registry == GHCR:
		return "give the job permissions: packages: read, the input github-token, and the repository access in the package's settings"
	case e.noInputs:
		return mounted
	case e.Registry == GHCR && e.Source == fromJob:
		return "give the job permissions: packages: write, and the repository access in the package's settings; or set the inputs registry-username and registry-password"
	case e.Source == fromConfig:
		return "set the inputs registry-username and registry-password; a container action does not see the host's ~/.docker nor its credential helpers"
	case e.Source == fromInputs:
		return "correct the inputs registry-username and registry-password"
	default:
		return "allow " + e.Source + " to use that repository, or set the inputs registry-username and registry-password"
	}
}

// explain words a refusal so that it says whom the registry refused and which
// input to set. Other errors stay as they are.
func (c *Client) explain(ctx context.Context, repository name.Repository, err error) error {
	var status *transport.Error
	if !errors.As(err, &status) || (status.StatusCode != http.StatusUnauthorized && status.StatusCode != http.StatusForbidden) {
		return err
	}
	e := &CredentialError{
		Registry: repository.RegistryStr(), Repository: repository.RepositoryStr(),
		Source: c.keys.source(repository.RegistryStr()), Status: status.StatusCode, Cause: err,
		noInputs: c.keys.given.Registry == "",
	}
	// Who we were is known without asking again: what was resolved for the session.
	if auth, resolveErr := c.keys.resolve(ctx, repository); resolveErr == nil {
		if config, configErr := auth.Authorization(); configErr == nil {
			e.User = config.Username
		}
	}
	return e
}
