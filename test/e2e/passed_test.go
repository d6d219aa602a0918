package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tag points a tag of the service's repository at an image.
func (p *place) tag(image, tag string) string {
	p.t.Helper()
	digest, err := name.NewDigest(image, name.Insecure)
	if err != nil {
		p.t.Fatal(err)
	}
	found, err := remote.Get(digest, remote.WithContext(p.t.Context()))
	if err != nil {
		p.t.Fatal(err)
	}
	to := digest.Tag(tag)
	if err := remote.Tag(to, found, remote.WithContext(p.t.Context())); err != nil {
		p.t.Fatal(err)
	}
	return to.String()
}

// patch changes staging's Deployment as somebody would by hand.
func (p *place) patch(text string) {
	p.t.Helper()
	if _, err := p.Client.Kube.AppsV1().Deployments(p.staging).Patch(p.t.Context(), "web", types.JSONPatchType, []byte(text), metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// Staging is reached by another user, as another cluster would be, whose rights
// end there; production by nobody but production's.
func TestPromote_takesWhatPassedInAnotherClusterAndNothingElse(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	moving := p.tag(one, p.production)
	p.deploy(moving, nil)
	p.tag(two, p.production)
	there := p.Limited(t,
		rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets", "pods"}, Verbs: []string{"get", "list"}},
		rbac.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list"}},
	)
	from := func(more ...string) map[string]string {
		inputs := map[string]string{"from-kubeconfig": kubeconfigs(t, there.REST.Host, string(there.REST.CAData), there.REST.BearerToken), "from-context": "staging"}
		for i := 0; i < len(more); i += 2 {
			inputs[more[i]] = more[i+1]
		}
		return inputs
	}
	refused := func(inputs map[string]string, says ...string) {
		t.Helper()
		o := p.run(1, "promote", inputs)
		outputs(t, o, map[string]string{"status": "refused"})
		contains(t, o.Log, says...)
		p.nothing(p.production)
	}

	// What the tag means by now never passed.
	refused(from("image", moving), "was never released as web in staging")
	// Somebody changes what runs.
	p.patch(fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, two))
	eventually(t, "pods of another version", p.runsIn(p.staging, two))
	refused(from(), "somebody changed it by hand", "release 1, which passed")
	// Nor does it pass while it sleeps.
	p.patch(`[{"op":"replace","path":"/spec/replicas","value":0}]`)
	eventually(t, "no pods", p.runsIn(p.staging))
	refused(from(), "Deployment web of web in staging runs", "somebody changed it by hand")
	// What passed may sleep.
	p.patch(fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":%q}]`, one))
	o := p.run(0, "promote", from("watch", "0s"))
	outputs(t, o, map[string]string{"status": "succeeded", "image": one})
	contains(t, o.Log, "has no pods at present")
	p.settled(one)
}

// runsIn says whether a namespace's pods run these images and no other.
func (p *place) runsIn(namespace string, images ...string) func(context.Context) bool {
	return func(context.Context) bool {
		found := p.images(namespace)
		return len(found) == len(images) && (len(found) == 0 || found[0] == images[0])
	}
}

// kubeconfigs leads to a cluster by its context staging, and by its current
// one nowhere.
func kubeconfigs(t *testing.T, host, ca, token string) string {
	t.Helper()
	config, err := clientcmd.Write(clientcmdapi.Config{
		CurrentContext: "nowhere",
		Contexts: map[string]*clientcmdapi.Context{
			"nowhere": {Cluster: "nowhere", AuthInfo: "limited"},
			"staging": {Cluster: "staging", AuthInfo: "limited"},
		},
		Clusters: map[string]*clientcmdapi.Cluster{
			"nowhere": {Server: "https://127.0.0.1:9"},
			"staging": {Server: host, CertificateAuthorityData: []byte(ca)},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"limited": {Token: token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}
