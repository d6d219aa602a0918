package manifests

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// What a Service is made from, parsed. Each error says what is expected, and
// none holds a variable's value, which may be secret.

// Variable is one of a service's environment.
type Variable struct{ Name, Value string }

// Source is where more of it comes from.
type Source struct{ Kind, Name string } // secret or configmap

// GatewayName is a Gateway of the cluster; the zero value is none.
type GatewayName struct{ Namespace, Name string }

// ParseEnv reads one NAME=value an item; everything wrong is told.
func ParseEnv(items []string) ([]Variable, error) {
	var all []Variable
	var errs []error
	known := map[string]bool{}
	for i, item := range items {
		name, value, ok := strings.Cut(item, "=")
		switch {
		case !ok || len(validation.IsEnvVarName(name)) > 0:
			errs = append(errs, fmt.Errorf("item %d: expected NAME=value, one a line", i+1))
		case name == "PORT":
			errs = append(errs, errors.New("expected no PORT: the input port sets it"))
		case known[name]:
			errs = append(errs, fmt.Errorf("expected each name once: %s is there twice", name))
		}
		known[name] = true
		all = append(all, Variable{name, value})
	}
	return all, errors.Join(errs...)
}

// EnvNames words the items of an environment without their values.
func EnvNames(raw string) string {
	var names []string
	for line := range strings.Lines(raw) {
		name, _, ok := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case ok && len(validation.IsEnvVarName(name)) == 0:
			names = append(names, name+"=…")
		case strings.TrimSpace(line) != "":
			names = append(names, "…")
		}
	}
	return strings.Join(names, ", ")
}

// ParseSource reads secret/NAME or configmap/NAME.
func ParseSource(item string) (Source, error) {
	kind, name, _ := strings.Cut(item, "/")
	if kind != "secret" && kind != "configmap" || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return Source{}, fmt.Errorf("%q: expected secret/NAME or configmap/NAME", item)
	}
	return Source{kind, name}, nil
}

// ParsePort reads the number of a port.
func ParsePort(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || len(validation.IsValidPortNum(n)) > 0 {
		return 0, errors.New("expected the number of a port, 1 to 65535")
	}
	return n, nil
}

// ParseAmount reads a quantity of CPU or memory, more than none.
func ParseAmount(text string) (string, error) {
	if q, err := resource.ParseQuantity(text); err != nil || q.Sign() <= 0 {
		return "", errors.New("expected an amount such as 100m or 128Mi, more than none")
	}
	return text, nil
}

// ParsePath reads what an HTTP request is for.
func ParsePath(text string) (string, error) {
	if _, err := url.ParseRequestURI(text); err != nil || !strings.HasPrefix(text, "/") || strings.ContainsAny(text, " \t\r\n") {
		return "", errors.New("expected a path that begins with /, as it stands in a URL")
	}
	return text, nil
}

// ParseGateway reads namespace/name.
func ParseGateway(text string) (GatewayName, error) {
	namespace, name, _ := strings.Cut(text, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return GatewayName{}, errors.New("expected a Gateway as namespace/name")
	}
	return GatewayName{namespace, name}, nil
}

// ParseHost reads a host name, also *.name.
func ParseHost(text string) (string, error) {
	if len(validation.IsDNS1123Subdomain(text)) > 0 && len(validation.IsWildcardDNS1123Subdomain(text)) > 0 {
		return "", errors.New("expected a host name in lower case, without scheme, port or path")
	}
	return text, nil
}

// ParseName reads the name of an object.
func ParseName(text string) (string, error) {
	if len(validation.IsDNS1123Subdomain(text)) > 0 {
		return "", errors.New("expected the name of an object: lower-case letters, digits, hyphens and dots")
	}
	return text, nil
}
