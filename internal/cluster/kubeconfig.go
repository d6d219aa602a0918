package cluster

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Options say which cluster is meant.
type Options struct {
	Kubeconfig string // content or path; a secret. Empty: KUBECONFIG, then in-cluster
	Context    string // empty: the kubeconfig's current one
	Input      string // the input that Kubeconfig is from, for words; empty: kubeconfig
}

func (o Options) input() string { return cmp.Or(o.Input, "kubeconfig") }

// ConfigError is credentials that lead to no cluster. It holds no secret.
type ConfigError struct {
	Source  string // where they come from; empty: there are none
	Context bool   // it is the context asked for that is wrong
	Err     error  // says what is wrong and what to give
}

func (e *ConfigError) Error() string {
	if e.Source == "" {
		return e.Err.Error()
	}
	return e.Source + ": " + e.Err.Error()
}

func (e *ConfigError) Unwrap() error { return e.Err }

// errNoContext is a context that is asked for and not there.
var errNoContext = errors.New("no such context")

const (
	fromEnv     = "KUBECONFIG"
	fromCluster = "in-cluster"
)

// load gives the credentials and the name of their source.
func load(o Options) (*rest.Config, string, error) {
	source, find := fromCluster, inCluster
	switch {
	case strings.TrimSpace(o.Kubeconfig) != "":
		source, find = "input "+o.input(), loadInput
	case os.Getenv(fromEnv) != "":
		source, find = fromEnv, loadEnv
	}
	config, err := find(o)
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, "", &ConfigError{Err: fmt.Errorf("no cluster to talk to: the input %[1]s is empty, KUBECONFIG is not set, and this does not run in a pod; "+
			"give the input %[1]s (a runner's ~/.kube is not seen from a container action)", o.input())}
	}
	if err != nil {
		return nil, "", &ConfigError{Source: source, Context: errors.Is(err, errNoContext), Err: err}
	}
	return config, source, nil
}

func inCluster(o Options) (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("the pod's service account cannot be used: %w", err)
	case o.Context != "":
		return nil, fmt.Errorf("%w as %q: a pod's service account has none; leave the context empty or give the input %s", errNoContext, o.Context, o.input())
	}
	return config, nil
}

func loadInput(o Options) (*rest.Config, error) {
	content, isContent := contentOf(o.Kubeconfig)
	if !isContent {
		path := strings.TrimSpace(o.Kubeconfig)
		if _, err := os.Stat(path); err != nil {
			// What was meant as content may have been cut to one line: it is
			// not repeated here.
			return nil, errors.New("it is neither the content of a kubeconfig nor the path of a file that can be read")
		}
		config, err := clientcmd.LoadFromFile(path)
		if err != nil {
			return nil, unreadable(err)
		}
		if err := clientcmd.ResolveLocalPaths(config); err != nil {
			return nil, secretless(err)
		}
		return choose(o, config)
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		return nil, unreadable(err)
	}
	if field := relativePath(config); field != "" {
		return nil, fmt.Errorf("%s is a relative path, which leads nowhere when the content is given; "+
			"embed the files with: kubectl config view --raw --flatten --minify", field)
	}
	return choose(o, config)
}

func loadEnv(o Options) (*rest.Config, error) {
	paths := filepath.SplitList(os.Getenv(fromEnv))
	found := slices.ContainsFunc(paths, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	})
	if !found {
		return nil, fmt.Errorf("there is no file %s; a container action sees only the workspace: give the input %s instead", strings.Join(paths, ", "), o.input())
	}
	rules := &clientcmd.ClientConfigLoadingRules{Precedence: paths}
	config, err := rules.Load()
	if err != nil {
		return nil, unreadable(err)
	}
	return choose(o, config)
}

// contentOf tells a kubeconfig's content, plain or as base64, from a path.
func contentOf(given string) ([]byte, bool) {
	text := strings.TrimSpace(given)
	if strings.Contains(text, "\n") || strings.HasPrefix(text, "{") || strings.Contains(text, "apiVersion:") {
		if raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
			return raw, true
		}
		return []byte(given), true
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && strings.Contains(string(raw), "apiVersion") {
		return raw, true
	}
	return nil, false
}

// choose takes one context of a kubeconfig and checks that this process can
// log in the way it says.
func choose(o Options, config *api.Config) (*rest.Config, error) {
	context := cmp.Or(o.Context, config.CurrentContext)
	known := strings.Join(slices.Sorted(maps.Keys(config.Contexts)), ", ")
	switch chosen := config.Contexts[context]; {
	case len(config.Contexts) == 0:
		return nil, errors.New("it holds no context")
	case context == "":
		return nil, fmt.Errorf("it names no current context; give the input %s: one of %s", strings.TrimSuffix(o.input(), "kubeconfig")+"context", known)
	case chosen == nil && o.Context != "":
		return nil, fmt.Errorf("%w as %q; it has %s", errNoContext, context, known)
	case chosen == nil:
		return nil, fmt.Errorf("its current context %q is not there; it has %s", context, known)
	case config.Clusters[chosen.Cluster] == nil:
		return nil, fmt.Errorf("the context %q names a cluster that is not there", context)
	default:
		if user := config.AuthInfos[chosen.AuthInfo]; user != nil {
			if err := canLogIn(o.input(), user); err != nil {
				return nil, err
			}
		}
	}
	overrides := &clientcmd.ConfigOverrides{CurrentContext: context}
	made, err := clientcmd.NewNonInteractiveClientConfig(*config, context, overrides, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q: %w", context, secretless(err))
	}
	return made, nil
}

// canLogIn refuses early what would fail at the first request with words that
// do not say what to do.
func canLogIn(input string, user *api.AuthInfo) error {
	instead := "give the input " + input + " with a token or a client certificate of a service account instead"
	if user.Exec != nil {
		if _, err := exec.LookPath(user.Exec.Command); err != nil {
			return fmt.Errorf("it logs in with the program %q, which is not installed here; %s", filepath.Base(user.Exec.Command), instead)
		}
	}
	if user.AuthProvider != nil {
		return fmt.Errorf("it logs in with the auth provider %q, which Kubernetes clients no longer have; %s", user.AuthProvider.Name, instead)
	}
	return nil
}

func relativePath(config *api.Config) string {
	relative := func(path string) bool { return path != "" && !filepath.IsAbs(path) }
	for _, name := range slices.Sorted(maps.Keys(config.Clusters)) {
		if c := config.Clusters[name]; relative(c.CertificateAuthority) && len(c.CertificateAuthorityData) == 0 {
			return fmt.Sprintf("certificate-authority of cluster %q", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(config.AuthInfos)) {
		user := config.AuthInfos[name]
		switch {
		case relative(user.ClientCertificate) && len(user.ClientCertificateData) == 0:
			return fmt.Sprintf("client-certificate of user %q", name)
		case relative(user.ClientKey) && len(user.ClientKeyData) == 0:
			return fmt.Sprintf("client-key of user %q", name)
		case relative(user.TokenFile) && user.Token == "":
			return fmt.Sprintf("tokenFile of user %q", name)
		}
	}
	return ""
}

var yamlLine = regexp.MustCompile(`line \d+`)

// unreadable says that a kubeconfig cannot be decoded. A decoder's own words
// quote what it read, tokens among it, so only the line is kept.
func unreadable(err error) error {
	if line := yamlLine.FindString(err.Error()); line != "" {
		return fmt.Errorf("it is not a kubeconfig: %s cannot be read", line)
	}
	return errors.New("it is not a kubeconfig: it cannot be read as YAML or JSON with apiVersion v1 and kind Config")
}

// secretless keeps of an error about credentials what cannot hold any.
func secretless(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path
	}
	if clientcmd.IsConfigurationInvalid(err) {
		return errors.New("it is not complete or contradicts itself: a context needs a cluster with a server, and a user with one way to log in whose files exist")
	}
	return errors.New("a certificate, key or token in it is malformed")
}
