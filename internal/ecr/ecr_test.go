package ecr

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// service answers as ECR and STS do. Source: the services' API references.
type service struct {
	repositories map[string]bool
	denied       bool
	authorized   []string // Authorization of each call
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Amz-Target") == "" { // STS
		_ = r.ParseForm()
		if r.Form.Get("Action") != "AssumeRoleWithWebIdentity" || r.Form.Get("WebIdentityToken") != "oidc-token" {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ROLEKEY</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`)
		return
	}
	s.authorized = append(s.authorized, r.Header.Get("Authorization"))
	var in struct{ RegistryID, RepositoryName string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	fail := func(kind string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, kind)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch asked := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonEC2ContainerRegistry_V20150921."); {
	case s.denied:
		fail("AccessDeniedException")
	case asked == "GetAuthorizationToken":
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":4070908800}]}`, base64.StdEncoding.EncodeToString([]byte("AWS:pass:word")))
	case asked != "CreateRepository" || in.RegistryID != "123456789012":
		fail("InvalidParameterException")
	case s.repositories[in.RepositoryName]:
		fail("RepositoryAlreadyExistsException")
	default:
		s.repositories[in.RepositoryName] = true
		fmt.Fprint(w, `{"repository":{}}`)
	}
}

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{repositories: map[string]bool{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	none := filepath.Join(t.TempDir(), "none")
	for variable, value := range map[string]string{
		"AWS_ENDPOINT_URL_ECR": server.URL, "AWS_ENDPOINT_URL_STS": server.URL, "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(variable, value)
	}
	return s
}

func repository(t *testing.T, text string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const orders = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/orders"

func TestCreate_makesARepositoryOnce(t *testing.T) {
	s := serve(t)
	for _, want := range []bool{true, false} {
		if made, err := (Job{}).Create(t.Context(), repository(t, orders)); err != nil || made != want {
			t.Errorf("made %v, want %v: %v", made, want, err)
		}
	}
	if !s.repositories["acme/orders"] || !strings.Contains(s.authorized[0], "Credential=KEY/") || !strings.Contains(s.authorized[0], "/eu-central-1/ecr/") {
		t.Errorf("%v, signed %v", s.repositories, s.authorized)
	}
}

func TestCreate_takesARoleForTheOIDCToken(t *testing.T) {
	s := serve(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("oidc-token"), 0o600); err != nil {
		t.Fatal(err)
	}
	for variable, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/ci",
	} {
		t.Setenv(variable, value)
	}
	if made, err := (Job{}).Create(t.Context(), repository(t, orders)); err != nil || !made {
		t.Fatalf("made %v: %v", made, err)
	}
	if !strings.Contains(s.authorized[0], "Credential=ROLEKEY/") {
		t.Errorf("signed %v", s.authorized)
	}
}

func TestCreate_saysWhatIsMissing(t *testing.T) {
	serve(t).denied = true
	_, err := (Job{}).Create(t.Context(), repository(t, orders))
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "AccessDeniedException") || !strings.Contains(e.Next(), "ecr:CreateRepository") {
		t.Errorf("%v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err = (Job{}).Create(t.Context(), repository(t, orders)); !errors.As(err, &e) || !strings.Contains(e.Next(), "credentials") {
		t.Errorf("%v", err)
	}
}

func TestCheck_knowsAmazonsRegistry(t *testing.T) {
	for text, want := range map[string]bool{
		orders: true, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a": true, "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/a": true,
		"ghcr.io/acme/orders": false, "public.ecr.aws/acme/orders": false, "123456789012.dkr.ecr.eu-central-1.amazonaws.com.example.org/a": false,
	} {
		if got := Check(repository(t, text)) == nil; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestLogin_takesTheRunnersTokenBeforeKeys(t *testing.T) {
	s := serve(t)
	keys := "the AWS credentials of the job's environment"
	const role = "arn:aws:iam::123456789012:role/ci"
	runner := func(_ context.Context, audience string) (string, error) {
		if audience != "sts.amazonaws.com" {
			t.Errorf("a token for %q", audience)
		}
		return "oidc-token", nil
	}
	for name, c := range map[string]struct {
		job          Job
		role, source string
		signed       string
	}{
		"keys":                        {Job{}, "", keys, "Credential=KEY/"},
		"a token, and no role":        {Job{Identity: runner}, "", keys, "Credential=KEY/"},
		"a token, and a role":         {Job{Identity: runner}, role, "the role " + role + " for the runner's OIDC token", "Credential=ROLEKEY/"},
		"a role, and no token at all": {Job{}, role, keys, "Credential=KEY/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ROLE_ARN", c.role)
			s.authorized = nil
			got, err := c.job.Login(t.Context(), repository(t, orders))
			if err != nil || got == nil || *got != (Login{c.source, "AWS", "pass:word"}) || !strings.Contains(s.authorized[0], c.signed) {
				t.Errorf("%+v, %v, signed %v", got, err, s.authorized)
			}
		})
	}
}

func TestLogin_isForAmazonAndWhoHasCredentials(t *testing.T) {
	s := serve(t)
	if got, err := (Job{}).Login(t.Context(), repository(t, "ghcr.io/acme/orders")); got != nil || err != nil {
		t.Errorf("somebody else's registry: %v, %v", got, err)
	}
	s.denied = true
	var e *Error
	if got, err := (Job{}).Login(t.Context(), repository(t, orders)); got != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), "log in to") || !strings.Contains(e.Next(), "ecr:GetAuthorizationToken") {
		t.Errorf("denied: %v, %v", got, err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	if got, err := (Job{}).Login(t.Context(), repository(t, orders)); got != nil || err != nil {
		t.Errorf("no credentials: %v, %v", got, err)
	}
}
