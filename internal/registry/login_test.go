package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fibership/fibership/internal/progress"
)

// lines keeps what is logged.
type lines struct {
	progress.Log
	text strings.Builder
}

func (l *lines) Linef(format string, args ...any) { fmt.Fprintf(&l.text, format+"\n", args...) }

func (l *lines) Annotate(note progress.Annotation) { l.text.WriteString(note.Message + "\n") }

func TestLogin_isAskedBetweenTheInputsAndDockersConfiguration(t *testing.T) {
	const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user+":"+password != "AWS:right" && user+":"+password != "bot:right":
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Content-Length", "2")
			w.Header().Set("Docker-Content-Digest", digest)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := strings.TrimPrefix(server.URL, "http://")
	tag, err := name.NewTag(host + "/acme/orders:v1")
	if err != nil {
		t.Fatal(err)
	}
	gets := func(pass *Pass, err error) Login {
		return func(context.Context, name.Repository) (*Pass, error) { return pass, err }
	}
	right := gets(&Pass{"the role ci", "AWS", "right"}, nil)
	wrong := gets(&Pass{"the role ci", "AWS", "wrong"}, nil)
	fails := gets(nil, errors.New("nobody there"))
	for what, c := range map[string]struct {
		given Credentials
		login Login
		says  []string // the log, and the error
		good  bool
	}{
		"it has them":          {Credentials{}, right, []string{"from the role ci"}, true},
		"the inputs have them": {Credentials{Registry: host, Username: "bot", Password: "right"}, right, []string{"from registry-username"}, true},
		"it is wrong":          {Credentials{Registry: host}, wrong, []string{`refuses user "AWS" (from the role ci)`, "allow the role ci"}, false},
		"it fails":             {Credentials{}, fails, []string{"for " + host + ": nobody there", "DOCKER_CONFIG has none"}, false},
		"it has none":          {Credentials{}, gets(nil, nil), []string{"DOCKER_CONFIG has none"}, false},
	} {
		log := &lines{Log: progress.Discard}
		got, err := Resolve(t.Context(), tag, Options{Credentials: c.given, Login: c.login, Log: log})
		if (err == nil) != c.good || c.good && got.DigestStr() != digest {
			t.Errorf("%s: %v, %v", what, got, err)
		}
		told := log.text.String()
		if err != nil {
			told += err.Error()
		}
		var next interface{ Next() string }
		if errors.As(err, &next) {
			told += next.Next()
		}
		for _, say := range c.says {
			if !strings.Contains(told, say) {
				t.Errorf("%s: %q is not told:\n%s", what, say, told)
			}
		}
	}
}
