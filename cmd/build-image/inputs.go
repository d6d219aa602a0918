package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/build"
	"github.com/fibership/fibership/internal/ecr"
	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/image"
	"github.com/fibership/fibership/internal/registry"
)

var (
	spec = action.New("build-image", action.Build, "Test a Go service, compile it and push it as an image, with no Docker daemon")

	repository  = action.Parsed(spec, "image", "text", "repository to push to", parseRepository, action.Required(), action.Example("ghcr.io/acme/orders"))
	mainPackage = action.Parsed(spec, "package", "text", "the main package, seen from working-directory", parsePackage, action.Default("."), action.Example("./cmd/orders"))
	directory   = spec.Text("working-directory", "folder of the module or workspace", action.Default("."), action.Example("services/orders"))
	platforms   = action.Parsed(spec, "platforms", "list or comma-separated", "one image for one platform, an index for several", parsePlatforms, action.Default("linux/amd64"), action.Example("linux/amd64,linux/arm64"))
	baseImage   = action.Parsed(spec, "base-image", "text", "image to build on, pinned to its digest when read; empty for the built-in root file system with CA certificates, time zones, /tmp and the users root and nonroot", parseReference, action.Example("debian:12-slim"))
	tags        = action.Parsed(spec, "tags", "list", "tags to set", parseTags, action.DefaultText("from the event: `sha-<7>`, the branch, `pr-<n>`, the versions of a `v*` tag, `latest` on the default branch"), action.Example("v1.4.0"))

	tests       = spec.List("tests", "packages whose tests must pass before anything is pushed; `none` skips them", action.Default("./..."), action.Example("./internal/..."))
	testFlags   = action.Parsed(spec, "test-flags", "list", "further flags of go test, one a line", parseFlags, action.Example("-race"))
	testEnv     = action.Parsed(spec, "test-env", "list of `NAME` or `NAME=value`", "variables for the tests, which see no others of the job; a bare NAME takes the job's value", parseTestEnv, action.Example("DATABASE_URL"))
	testsCache  = spec.Bool("tests-cache", "tests that passed for the very same files, toolchain and flags are not run again; false runs them every time", action.Default("true"))
	unprivilege = spec.Bool("unprivileged", "in the action's container, where we are root, the compiler runs as user 65532 and tests as 65533, in a copy of the checkout without `.git`; false runs both as root, in the checkout", action.Default("true"))
	minCoverage = spec.Percent("min-coverage", "fails where fewer statements are covered", action.Example("70%"))

	junit = spec.Text("junit", "also write the results of the tests as JUnit XML to this file, seen from working-directory; the tests are then run every time", action.Example("reports/junit.xml"))

	privateModules = spec.Words("private-modules", "private modules, as in GOPRIVATE; each begins with its host", action.DefaultText("the job's GOPRIVATE"), action.Example("github.com/acme/*"))
	modulesToken   = spec.Secret("modules-token", "token that may read them; the go command that fetches sees it, and no test does", action.Example("${{ secrets.MODULES_TOKEN }}"))

	goFlags = action.Parsed(spec, "go-flags", "list", "further flags of go build, one a line", parseFlags, action.Example("-mod=vendor"))
	ldFlags = spec.Text("ldflags", "further flags of the linker", action.Example("-X main.edition=pro"))
	goTags  = spec.Words("build-tags", "build tags", action.Example("netgo"))

	includes    = action.Parsed(spec, "include", "list of `source:target`", "files and folders for the image, seen from working-directory", parseInclusions, action.Example("./public:/app/public"))
	env         = action.Parsed(spec, "env", "list of `NAME=value`", "environment variables", parsePairs, action.Example("TZ=Europe/Berlin"))
	labels      = action.Parsed(spec, "labels", "list of `NAME=value`", "labels beside those that follow from content; revision and time are told by tags", parsePairs, action.Example("team=orders"))
	annotations = action.Parsed(spec, "annotations", "list of `NAME=value`", "annotations of the manifest", parsePairs, action.Example("org.opencontainers.image.description=Takes orders"))
	port        = action.Parsed(spec, "port", "number", "port that the image says it listens on", parsePort, action.Example("3000"))
	user        = action.Parsed(spec, "user", "text", "user and group that the program runs as", parseUser, action.Default(image.Nonroot), action.Example(image.Nonroot))

	push      = spec.Bool("push", "false tests, builds and gives the digest, and pushes nothing", action.Default("true"))
	ociLayout = spec.Text("oci-layout", "also write the image as an OCI layout to this folder, seen from working-directory", action.Example("dist/image"))

	createRepository = spec.Bool("create-repository", "create the repository in Amazon ECR where it is not there, with the AWS credentials of the job's environment", action.Default("false"))
	registryUsername = spec.Text("registry-username", "user at the registry", action.DefaultText("the actor, for ghcr.io; for Amazon ECR by the job's AWS role or keys"), action.Example("acme-bot"))
	registryPassword = spec.Secret("registry-password", "password or token for it", action.DefaultText("`github-token`, for ghcr.io; for Amazon ECR likewise"), action.Example("${{ secrets.REGISTRY_PASSWORD }}"))
	githubToken      = spec.Secret("github-token", "the job's token", action.Expression("${{ github.token }}"))
	retryTimeout     = spec.Duration("retry-timeout", "how long a registry outage is ridden out", action.Default("2m"), action.Example("5m"))
)

func init() {
	spec.Output("image", "the image as `repository@sha256:…`")
	spec.Output("digest", "its digest")
	spec.Output("repository", "its repository")
	spec.Output("tags", "tags that point at it, one a line")
	spec.Output("changed", "`false`: the very same image was there already")
	spec.Output("platforms", "JSON: platform to digest")
	spec.Output("size", "compressed bytes")
	spec.Output("tests", "JSON: passed, failed, skipped, seconds")
	spec.Output("coverage", "share of statements that the tests cover, as a percentage")
}

// plan joins the inputs to a build. What it finds wrong is told at once.
func plan(r *action.Run, scratch string, environ []string) (*build.Build, error) {
	var wrong []error
	mistake := func(input string, err error) {
		if err != nil {
			wrong = append(wrong, action.WrongInput(input, err))
		}
	}
	workspace, err := filepath.Abs(cmp.Or(r.Event.Workspace, "."))
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(workspace); err == nil {
		workspace = resolved // the toolchain names files by their real paths
	}
	dir := filepath.Join(workspace, *directory)
	mistake("working-directory", within(workspace, dir))
	mistake("include", present(dir, *includes))
	layout := *ociLayout
	if layout != "" && !filepath.IsAbs(layout) {
		layout = filepath.Join(dir, layout)
		if rel, err := filepath.Rel(workspace, layout); err != nil || !filepath.IsLocal(rel) {
			mistake("oci-layout", errors.New("expected a folder in the repository, or an absolute path"))
		}
	}
	imageTags, err := planTags(r.Event)
	mistake("tags", err)
	username := *registryUsername
	if username == "" && *registryPassword != "" && repository.RegistryStr() == registry.GHCR {
		username = r.Event.Actor
	}
	if (username == "") != (*registryPassword == "") {
		mistake("registry-password", errors.New("registry-username and registry-password go together"))
	}
	if *createRepository && repository.RepositoryStr() != "" {
		mistake("create-repository", ecr.Check(*repository))
	}
	suite, err := planSuite(environ)
	mistake("tests", err)
	if err == nil && suite == nil && *minCoverage > 0 {
		mistake("min-coverage", errors.New("expected tests beside it: with `tests: none` nothing is covered"))
	}
	mistake("private-modules", gobuild.ParsePrivate(*privateModules))
	mistake("modules-token", gobuild.ParseToken(modulesToken.Reveal()))
	if *modulesToken != "" && len(planPrivate(environ).Patterns) == 0 {
		mistake("private-modules", errors.New("modules-token is for modules that are named here or in GOPRIVATE"))
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}

	source := gobuild.Source{
		Workspace: workspace, Dir: dir, Package: *mainPackage,
		Flags: *goFlags, LDFlags: *ldFlags, Tags: *goTags, Hidden: image.Secret,
	}
	p := build.Plan{
		Source: source, Suite: suite, Repository: *repository, Tags: imageTags, Platforms: *platforms,
		Base: *baseImage, Includes: *includes, Push: *push, Layout: layout, TestsCache: *testsCache && *junit == "", Scratch: scratch,
		Config: image.Config{
			Env: *env, Labels: labels.mapped(), Annotations: annotations.mapped(), Port: *port, User: *user,
		},
	}
	amazon := ecr.Job{Identity: r.Identity()}
	client := registry.New(registry.Options{
		Login: func(ctx context.Context, repository name.Repository) (*registry.Pass, error) {
			login, err := amazon.Login(ctx, repository)
			if login == nil || err != nil {
				return nil, err
			}
			r.Mask(login.Password)
			return &registry.Pass{Source: login.Source, Username: login.Username, Password: login.Password}, nil
		},
		Credentials: registry.Credentials{
			Registry: repository.RegistryStr(), Username: username, Password: registryPassword.Reveal(),
			GitHubActor: r.Event.Actor, GitHubToken: githubToken.Reveal(),
		},
		Patience: *retryTimeout, Log: r,
	})
	b := &build.Build{Plan: p, Toolchain: gobuild.New(source, environ, r), Registry: client, Log: r}
	if *createRepository {
		b.Create = amazon.Create
	}
	return b, nil
}

// planTags takes the tags given, else derives them from the event.
func planTags(event action.Event) ([]name.Tag, error) {
	given := *tags
	if len(given) == 0 {
		given = origin(event).Tags()
	}
	planned := make([]name.Tag, 0, len(given))
	for _, tag := range given {
		if repository.RepositoryStr() == "" {
			break // the input image is wrong already
		}
		t, err := name.NewTag(repository.Name() + ":" + tag)
		if err != nil {
			return nil, fmt.Errorf("%q is no tag: letters, digits, _ . and - are expected, 128 at most", tag)
		}
		planned = append(planned, t)
	}
	return planned, nil
}

// origin tells of the event what tags are derived from.
func origin(event action.Event) build.Origin {
	o := build.Origin{Commit: event.SHA, DefaultBranch: event.DefaultBranch, PullRequest: event.PullRequest}
	switch {
	case event.RefType == "tag":
		o.Tag = event.RefName
	case event.RefType == "branch" && event.PullRequest == 0:
		o.Branch = event.RefName
	}
	return o
}

// planSuite is nil where tests are to be skipped.
func planSuite(environ []string) (*gobuild.Suite, error) {
	patterns := *tests
	for _, pattern := range patterns {
		switch {
		case pattern == "none" && len(patterns) == 1:
			return nil, nil //nolint:nilnil // no suite is what was asked for
		case pattern == "none":
			return nil, errors.New("none stands alone")
		case strings.HasPrefix(pattern, "-"):
			return nil, fmt.Errorf("%q is a flag; those belong into test-flags", pattern)
		}
	}
	return &gobuild.Suite{
		Packages: patterns, Flags: *testFlags, Environ: fill(*testEnv, environ), MinCoverage: *minCoverage,
		// A variable of the job mostly names a database or the like.
		Outside: slices.ContainsFunc(*testEnv, func(item string) bool { return !strings.Contains(item, "=") }),
	}, nil
}

// planPrivate names the private modules: those of the input, else the job's.
func planPrivate(environ []string) gobuild.Private {
	patterns := *privateModules
	if len(patterns) == 0 {
		patterns = gobuild.PrivatePatterns(environ)
	}
	return gobuild.Private{Patterns: patterns, Token: modulesToken.Reveal()}
}

// within refuses a folder that is not there or not in the workspace.
func within(workspace, dir string) error {
	if rel, err := filepath.Rel(workspace, dir); err != nil || !filepath.IsLocal(rel) {
		return errors.New("expected a folder in the repository")
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return errors.New("there is no such folder; was the repository checked out?")
	}
	return nil
}

// present refuses included sources that are not there.
func present(dir string, includes []image.Inclusion) error {
	for _, in := range includes {
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(in.Source))); err != nil {
			return fmt.Errorf("there is no %s", in.Source)
		}
	}
	return nil
}

func parseRepository(text string) (name.Repository, error) {
	r, err := name.NewRepository(text)
	if err != nil {
		return name.Repository{}, errors.New("expected a repository without tag or digest")
	}
	return r, nil
}

func parseReference(text string) (name.Reference, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, errors.New("expected an image, with a tag or a digest")
	}
	return ref, nil
}

func parsePlatforms(text string) ([]v1.Platform, error) {
	var parsed []v1.Platform
	seen := map[string]bool{}
	for _, word := range strings.FieldsFunc(strings.Join(items(text), "\n"), func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) }) {
		p, err := v1.ParsePlatform(word)
		if err != nil || p.OS == "" || p.Architecture == "" || p.OSVersion != "" {
			return nil, fmt.Errorf("%q is no platform; os/arch or os/arch/variant is expected", word)
		}
		if !seen[p.String()] {
			seen[p.String()] = true
			parsed = append(parsed, *p)
		}
	}
	if len(parsed) == 0 {
		return nil, errors.New("expected one platform at the least, os/arch or os/arch/variant")
	}
	return parsed, nil
}
