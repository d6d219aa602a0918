//go:build linux

package rig

import (
	"os"
	"path/filepath"

	"github.com/fibership/fibership/test/cluster/pki"
)

// apiServerHosts are the names under which the API server is reached, from the namespace and from pods.
var apiServerHosts = []string{
	"127.0.0.1", nodeAddress, serviceAddress, "localhost",
	"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
}

// clients are the programs that talk to the API server, with the user and groups that they have there.
var clients = []struct {
	name   string
	user   string
	groups []string
}{
	{"admin", "admin", []string{"system:masters"}},
	{"kubelet", "system:node:" + nodeName, []string{"system:nodes"}},
	{"kube-proxy", "system:kube-proxy", nil},
}

// writeCredentials fills pkiDir and returns the administrator's kubeconfig.
func writeCredentials() ([]byte, error) {
	authority, err := pki.NewAuthority("fibership test cluster")
	if err != nil {
		return nil, err
	}
	server, err := authority.Server("kube-apiserver", apiServerHosts...)
	if err != nil {
		return nil, err
	}
	signing, verifying, err := pki.NewSigningKey()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"ca.crt":             authority.Certificate(),
		"kube-apiserver.crt": server.Certificate,
		"kube-apiserver.key": server.Key,
		"sa.key":             signing,
		"sa.pub":             verifying,
	}
	for _, client := range clients {
		pair, err := authority.Client(client.user, client.groups...)
		if err != nil {
			return nil, err
		}
		kubeconfig, err := authority.Kubeconfig("fibership", apiServerURL, pair)
		if err != nil {
			return nil, err
		}
		files[client.name+".crt"], files[client.name+".key"] = pair.Certificate, pair.Key
		files[client.name+".kubeconfig"] = kubeconfig
	}
	if err := os.MkdirAll(pkiDir, 0o700); err != nil {
		return nil, err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(pkiDir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return files["admin.kubeconfig"], nil
}
