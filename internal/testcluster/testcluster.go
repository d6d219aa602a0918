// Package testcluster joins tests to the real cluster and the registry of
// test/cluster. Only tests import it. A test that needs the cluster is skipped
// where there is none, and fails in CI.
package testcluster

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
)

// T is a test's own place in the cluster.
type T struct {
	Client    *cluster.Client
	Namespace string // fresh; deleted with all that it holds when the test ends
	Registry  string // host:port, plain HTTP, no credentials
}

// New gives the test a namespace of its own. It skips the test where no
// cluster is given, and fails it where CI is set.
func New(t testing.TB) *T {
	t.Helper()
	Need(t)
	client, err := cluster.Connect(cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &T{Client: client, Registry: registry(t)}
	c.Namespace = c.AddNamespace(t)
	return c
}

// Need skips or fails the test where no cluster is given.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv("FIBERSHIP_TEST_CLUSTER") != "" {
		return
	}
	const how = "needs the test cluster: run it as `bin/cluster in -- go test …`"
	if os.Getenv("CI") == "true" {
		t.Fatal(how)
	}
	t.Skip(how)
}

// AddNamespace makes one more namespace, deleted when the test ends, in which
// pods can be created at once.
func (c *T) AddNamespace(t testing.TB) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:10])
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := c.Client.Kube.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := c.Client.Kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Errorf("delete the test's namespace: %v", err)
		}
	})
	Eventually(t, 20*time.Second, "the default service account", func(ctx context.Context) bool {
		_, err := c.Client.Kube.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
	return name
}

// Limited is a client that has only the rights of the rules, in the test's
// namespace: that of a service account with a token.
func (c *T) Limited(t testing.TB, rules ...rbac.PolicyRule) *cluster.Client {
	t.Helper()
	ctx, name := t.Context(), "limited-"+strings.ToLower(rand.Text()[:8])
	meta := metav1.ObjectMeta{Name: name, Namespace: c.Namespace}
	core, rights := c.Client.Kube.CoreV1(), c.Client.Kube.RbacV1()
	if _, err := core.ServiceAccounts(c.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rights.Roles(c.Namespace).Create(ctx, &rbac.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbac.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbac.Subject{{Kind: rbac.ServiceAccountKind, Name: name, Namespace: c.Namespace}},
	}
	if _, err := rights.RoleBindings(c.Namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := core.ServiceAccounts(c.Namespace).CreateToken(ctx, name, &authentication.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.Client.REST)
	config.WrapTransport = nil
	config.BearerToken = token.Status.Token
	client, err := cluster.New(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	// The API server learns of new rights from a watch of its own.
	if len(rules) > 0 && len(rules[0].Verbs) > 0 {
		first := cluster.Access{Verb: rules[0].Verbs[0], Group: rules[0].APIGroups[0], Resource: rules[0].Resources[0], Namespace: c.Namespace}
		if len(rules[0].ResourceNames) > 0 {
			first.Name = rules[0].ResourceNames[0]
		}
		first.Resource, first.Subresource, _ = strings.Cut(first.Resource, "/")
		Eventually(t, 10*time.Second, "the role", func(ctx context.Context) bool {
			missing, err := client.Can(ctx, []cluster.Access{first})
			return err == nil && len(missing) == 0
		})
	}
	return client
}

// Eventually polls until done holds, and fails the test when it does not in
// time. what names the thing waited for.
func Eventually(t testing.TB, limit time.Duration, what string, done func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", limit, what)
		case <-tick.C:
		}
	}
}

func registry(t testing.TB) string {
	t.Helper()
	host := os.Getenv("FIBERSHIP_TEST_REGISTRY")
	if host == "" {
		t.Fatal("FIBERSHIP_TEST_REGISTRY is not set: run the test inside the test cluster's namespace")
	}
	return host
}
