//go:build linux

package rig

import (
	"fmt"
	"os/exec"
)

const (
	etcdURL = "http://127.0.0.1:2379"
	keys    = pkiDir + "/"
)

// controlPlane are the programs that can start at once; the API server waits for etcd by itself.
func controlPlane() []program {
	return []program{
		kubernetes("etcd",
			"--data-dir=/var/lib/etcd",
			"--listen-client-urls="+etcdURL,
		),
		kubernetes("kube-apiserver",
			"--etcd-servers="+etcdURL,
			"--etcd-compaction-interval=0",
			"--bind-address=0.0.0.0",
			"--secure-port=6443",
			"--advertise-address="+nodeAddress,
			"--service-cluster-ip-range="+serviceNetwork,
			"--tls-cert-file="+keys+"kube-apiserver.crt",
			"--tls-private-key-file="+keys+"kube-apiserver.key",
			"--client-ca-file="+keys+"ca.crt",
			"--kubelet-client-certificate="+keys+"admin.crt",
			"--kubelet-client-key="+keys+"admin.key",
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-signing-key-file="+keys+"sa.key",
			"--service-account-key-file="+keys+"sa.pub",
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			// The bootstrap's policy on the node's capacity needs these two.
			"--feature-gates=MutatingAdmissionPolicy=true",
			"--runtime-config=admissionregistration.k8s.io/v1beta1=true",
			"--allow-privileged=true",
			"--profiling=false",
		),
	}
}

// controllers are the programs that need the API server.
func controllers() []program {
	return []program{
		kubernetes("kube-controller-manager",
			"--kubeconfig="+keys+"admin.kubeconfig",
			"--service-account-private-key-file="+keys+"sa.key",
			"--root-ca-file="+keys+"ca.crt",
			"--leader-elect=false",
			"--bind-address=127.0.0.1",
			"--cert-dir=/var/lib/kube-controller-manager",
			"--kube-api-qps=200",
			"--kube-api-burst=400",
			"--profiling=false",
		),
		kubernetes("kube-scheduler",
			"--kubeconfig="+keys+"admin.kubeconfig",
			"--leader-elect=false",
			"--bind-address=127.0.0.1",
			"--kube-api-qps=200",
			"--kube-api-burst=400",
			"--profiling=false",
		),
		kubernetes("kubelet",
			"--config="+confDir+"/kubelet.yaml",
			"--kubeconfig="+keys+"kubelet.kubeconfig",
			"--hostname-override="+nodeName,
			"--node-ip="+nodeAddress,
			"--v=2",
		),
		kubernetes("kube-proxy",
			"--config="+confDir+"/kube-proxy.yaml",
			"--hostname-override="+nodeName,
		),
		kubernetes("cluster-dns",
			"--kubeconfig="+keys+"admin.kubeconfig",
			"--listen="+nameServer,
			"--domain=cluster.local",
		),
	}
}

// gatewayAPI is the program that brings the Gateway API's types and the two Gateways into a fresh API server.
func gatewayAPI() program {
	args := []string{"--kubeconfig=" + keys + "admin.kubeconfig", "--types=" + programsDir + "/gateway-api"}
	for _, g := range []gateway{shared, slow} {
		args = append(args, fmt.Sprintf("--gateway=%s:%d", g.name, g.port))
	}
	return kubernetes("gateway-api", args...)
}

// bootstrap is the program that fills a fresh API server and ends once a pod has started.
func bootstrap() program {
	return kubernetes("bootstrap",
		"--kubeconfig="+keys+"admin.kubeconfig",
		"--node="+nodeName,
		"--image="+pauseImage,
		"--name-server="+nameServer,
	)
}

// traefik serves the routes of one Gateway, told apart by the label of its class. It sends nothing out.
func traefik(g gateway) program {
	return program{
		name: "traefik-" + g.name,
		path: programsDir + "/traefik",
		args: []string{
			"--global.checknewversion=false",
			"--global.sendanonymoususage=false",
			"--log.level=ERROR",
			"--entrypoints.web.address=" + g.address(),
			"--providers.kubernetesgateway.labelselector=" + gatewayLabel + "=" + g.name,
			"--providers.kubernetesgateway.statusaddress.ip=" + nodeAddress,
			"--providers.providersthrottleduration=" + g.throttle.String(),
		},
		env: []string{"KUBECONFIG=" + keys + "admin.kubeconfig"},
	}
}

func kubernetes(name string, flags ...string) program {
	return program{name: name, path: programsDir + "/kubernetes", args: append([]string{name}, flags...)}
}

func containerd() (program, error) {
	path, err := exec.LookPath("containerd")
	if err != nil {
		return program{}, fmt.Errorf("find containerd: %w", err)
	}
	return program{name: "containerd", path: path, args: []string{"--config=" + confDir + "/containerd.toml"}}, nil
}
