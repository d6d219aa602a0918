// Package ecr lets a job into Amazon's container registry, and creates
// repositories there: it takes no push to one that is not there. Pushing is
// registry's business.
package ecr

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/name"
)

// host is a private registry's name.
// Source: https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
var host = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)$`)

// ErrNotECR is a registry of somebody else's.
var ErrNotECR = errors.New("expected a repository of Amazon ECR: <account>.dkr.ecr.<region>.amazonaws.com/<name>")

// place finds account and region of a repository.
func place(repository name.Repository) (account, region string, err error) {
	m := host.FindStringSubmatch(repository.RegistryStr())
	if m == nil {
		return "", "", ErrNotECR
	}
	return m[1], m[2], nil
}

// Check gives ErrNotECR where repository is not in Amazon's registry.
func Check(repository name.Repository) error {
	_, _, err := place(repository)
	return err
}

// Job is what a job may do at Amazon: by a role (AWS_ROLE_ARN) for the runner's
// OIDC token, else by the credentials of the environment, as every AWS program
// takes them: keys, or a role for the token in AWS_WEB_IDENTITY_TOKEN_FILE.
type Job struct {
	Identity func(ctx context.Context, audience string) (string, error) // nil: the runner gives no OIDC token
}

// audience is whom the OIDC token is for.
// Source: https://docs.github.com/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-aws
const audience = "sts.amazonaws.com"

// identity is an OIDC token as the SDK asks for it.
type identity func() (string, error)

// GetIdentityToken gives a fresh token.
func (i identity) GetIdentityToken() ([]byte, error) {
	token, err := i()
	return []byte(token), err
}

// settings are those for a region, and where the credentials come from in words.
func (j Job) settings(ctx context.Context, region string) (settings aws.Config, source string, err error) {
	settings, err = config.LoadDefaultConfig(ctx, config.WithRegion(region))
	role := os.Getenv("AWS_ROLE_ARN")
	if err != nil || role == "" || j.Identity == nil {
		return settings, "the AWS credentials of the job's environment", err
	}
	token := identity(func() (string, error) { return j.Identity(ctx, audience) })
	named := func(o *stscreds.WebIdentityRoleOptions) {
		o.RoleSessionName = cmp.Or(os.Getenv("AWS_ROLE_SESSION_NAME"), "fibership")
	}
	settings.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(settings), role, token, named))
	return settings, "the role " + role + " for the runner's OIDC token", nil
}

// has says whether there are credentials at all. A machine's own role is not
// looked for: where there is none that takes its time.
func (j Job) has() bool {
	return os.Getenv("AWS_ACCESS_KEY_ID") != "" || os.Getenv("AWS_ROLE_ARN") != "" && (j.Identity != nil || os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "")
}

// Login is a user and a password for Amazon's registries, good for 12 hours.
type Login struct{ Source, Username, Password string }

// Login logs in to the registry of a repository; nil where that is not Amazon's,
// or the job has no credentials for it.
func (j Job) Login(ctx context.Context, repository name.Repository) (*Login, error) {
	_, region, err := place(repository)
	if err != nil || !j.has() {
		return nil, nil //nolint:nilerr,nilnil // somebody else's registry, or nobody's credentials
	}
	settings, source, err := j.settings(ctx, region)
	if err != nil {
		return nil, &Error{loggingIn, repository, err}
	}
	out, err := ecr.NewFromConfig(settings).GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return nil, &Error{loggingIn, repository, err}
	}
	for _, data := range out.AuthorizationData {
		text, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken))
		if user, password, ok := strings.Cut(string(text), ":"); err == nil && ok {
			return &Login{Source: source, Username: user, Password: password}, nil
		}
	}
	return nil, &Error{loggingIn, repository, errors.New("the answer holds no token")}
}

const (
	loggingIn = "log in to"
	creating  = "create repository"
)

// Error is a repository that could not be created, or not be logged in to.
type Error struct {
	Doing      string
	Repository name.Repository
	Cause      error
}

func (e *Error) Error() string {
	var api smithy.APIError
	if errors.As(e.Cause, &api) {
		return fmt.Sprintf("%s %s: %s: %s", e.Doing, e.Repository, api.ErrorCode(), api.ErrorMessage())
	}
	return fmt.Sprintf("%s %s: %v", e.Doing, e.Repository, e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }

// Next tells what the call needs.
func (e *Error) Next() string {
	var api smithy.APIError
	denied := errors.As(e.Cause, &api) && api.ErrorCode() == "AccessDeniedException"
	switch {
	case denied && e.Doing == loggingIn:
		return "allow the role ecr:GetAuthorizationToken, or set the inputs registry-username and registry-password"
	case e.Doing == loggingIn:
		return "let AWS_ROLE_ARN name a role that trusts this repository's OIDC tokens and give the job permissions: id-token: write, or set the inputs registry-username and registry-password"
	case denied:
		return "allow the role ecr:CreateRepository on " + e.Repository.RepositoryStr() + ", or create the repository and leave create-repository out"
	}
	return "give the job AWS credentials in its environment, e.g. with aws-actions/configure-aws-credentials, or create the repository and leave create-repository out"
}

// Create creates a repository; made is false where it was there.
func (j Job) Create(ctx context.Context, repository name.Repository) (made bool, err error) {
	account, region, err := place(repository)
	if err != nil {
		return false, err
	}
	settings, _, err := j.settings(ctx, region)
	if err != nil {
		return false, &Error{creating, repository, err}
	}
	_, err = ecr.NewFromConfig(settings).CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RegistryId: aws.String(account), RepositoryName: aws.String(repository.RepositoryStr()),
	})
	var there *types.RepositoryAlreadyExistsException
	switch {
	case errors.As(err, &there):
		return false, nil
	case err != nil:
		return false, &Error{creating, repository, err}
	}
	return true, nil
}
