package testcluster

import (
	"os"
	"strings"
	"testing"
)

// Gateway is a Gateway of the test cluster, served by a Traefik of its own.
// Routes of every namespace may name it as their parent.
type Gateway struct {
	Namespace, Name string
	URL             string // http://host:port; routes are told apart by the Host header
}

// SharedGateway brings a route's change to the proxy at once.
func SharedGateway(t testing.TB) Gateway {
	t.Helper()
	return gateway(t, "FIBERSHIP_TEST_GATEWAY")
}

// SlowGateway brings changes to the proxy 20 s after the one before, though
// the route's status says at once that it has seen them.
func SlowGateway(t testing.TB) Gateway {
	t.Helper()
	return gateway(t, "FIBERSHIP_TEST_SLOW_GATEWAY")
}

func gateway(t testing.TB, variable string) Gateway {
	t.Helper()
	Need(t)
	place, url, ok := strings.Cut(os.Getenv(variable), "@")
	namespace, name, _ := strings.Cut(place, "/")
	if !ok {
		t.Fatalf("%s is not set: run the test inside the test cluster's namespace, as `bin/cluster in -- go test …`", variable)
	}
	return Gateway{Namespace: namespace, Name: name, URL: url}
}
