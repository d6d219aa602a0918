package pki

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

type kubeconfig struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	CurrentContext string         `json:"current-context"`
	Clusters       []namedCluster `json:"clusters"`
	Contexts       []namedContext `json:"contexts"`
	Users          []namedUser    `json:"users"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server      string `json:"server"`
		Certificate []byte `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Certificate []byte `json:"client-certificate-data"`
		Key         []byte `json:"client-key-data"`
	} `json:"user"`
}

// Kubeconfig renders a kubeconfig, certificates included, with which client reaches the API server at the URL server.
// The name stands for the cluster, its context and its user alike.
func (a *Authority) Kubeconfig(name, server string, client Pair) ([]byte, error) {
	cluster := namedCluster{Name: name}
	cluster.Cluster.Server, cluster.Cluster.Certificate = server, a.Certificate()
	context := namedContext{Name: name}
	context.Context.Cluster, context.Context.User = name, name
	user := namedUser{Name: name}
	user.User.Certificate, user.User.Key = client.Certificate, client.Key
	rendered, err := yaml.Marshal(kubeconfig{
		APIVersion:     "v1",
		Kind:           "Config",
		CurrentContext: name,
		Clusters:       []namedCluster{cluster},
		Contexts:       []namedContext{context},
		Users:          []namedUser{user},
	})
	if err != nil {
		return nil, fmt.Errorf("render kubeconfig of %s: %w", name, err)
	}
	return rendered, nil
}
