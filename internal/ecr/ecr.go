// Package ecr creates repositories in Amazon's container registry, which takes
// no push to one that is not there. Pushing is registry's business.
package ecr

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
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

// Error is a repository that could not be created.
type Error struct {
	Repository name.Repository
	Cause      error
}

func (e *Error) Error() string {
	var api smithy.APIError
	if errors.As(e.Cause, &api) {
		return fmt.Sprintf("create repository %s: %s: %s", e.Repository, api.ErrorCode(), api.ErrorMessage())
	}
	return fmt.Sprintf("create repository %s: %v", e.Repository, e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }

// Next tells what the call needs.
func (e *Error) Next() string {
	var api smithy.APIError
	if errors.As(e.Cause, &api) && api.ErrorCode() == "AccessDeniedException" {
		return "allow the role ecr:CreateRepository on " + e.Repository.RepositoryStr() + ", or create the repository and leave create-repository out"
	}
	return "give the job AWS credentials in its environment, e.g. with aws-actions/configure-aws-credentials, or create the repository and leave create-repository out"
}

// Create creates a repository; made is false where it was there. Credentials
// are those of the environment, as every AWS program takes them: keys, or a
// role for the token in AWS_WEB_IDENTITY_TOKEN_FILE.
func Create(ctx context.Context, repository name.Repository) (made bool, err error) {
	account, region, err := place(repository)
	if err != nil {
		return false, err
	}
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return false, &Error{repository, err}
	}
	_, err = ecr.NewFromConfig(settings).CreateRepository(ctx, &ecr.CreateRepositoryInput{
		RegistryId: aws.String(account), RepositoryName: aws.String(repository.RepositoryStr()),
	})
	var there *types.RepositoryAlreadyExistsException
	switch {
	case errors.As(err, &there):
		return false, nil
	case err != nil:
		return false, &Error{repository, err}
	}
	return true, nil
}
