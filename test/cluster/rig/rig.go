//go:build linux

// Package rig runs a Kubernetes cluster of one node, with a registry, in network, mount and PID namespaces of its own.
//
// PID 1 of those namespaces (see [Supervise]) starts every program and starts it again when it ends. Because the
// kernel ends all processes, mounts and interfaces with PID 1, there is little to clean up: only the control groups
// outlive it, and [Rig.Down] removes them. Inside, every file has a fixed place (/run/fibership, /var/lib/kubelet, …) on
// file systems that only the namespace sees; outside there is one folder for each cluster.
//
// What must be on the machine before (packages, the Kubernetes binary) is package provision's business.
package rig

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// Addresses inside the cluster's network namespace. They are the same in every cluster.
const (
	// RegistryAddress is where the registry listens, without TLS or credentials.
	RegistryAddress = "127.0.0.1:5000"

	apiServerURL   = "https://127.0.0.1:6443"
	nodeName       = "node1"
	nodeAddress    = "10.88.0.1"
	podNetwork     = "10.89.0.0/22"
	serviceNetwork = "10.96.0.0/16"
	serviceAddress = "10.96.0.1" // of kubernetes.default.svc: the first of serviceNetwork
	nameServer     = nodeAddress + ":53"
	pauseImage     = RegistryAddress + "/pause:1"
)

// Rig is one cluster, up or down.
type Rig struct {
	// Dir holds all that the cluster keeps outside of its namespaces: state, kubeconfig, logs. Absolute.
	Dir string
	// Programs is the folder with the programs kubernetes, kubectl and pause. Absolute.
	Programs string
	// Version tells clusters apart that were started from different sources.
	Version string
}

// New is the cluster that keeps its state in dir.
func New(dir, programs, version string) (*Rig, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", dir, err)
	}
	return &Rig{Dir: absolute, Programs: programs, Version: version}, nil
}

// Kubeconfig is the path of the administrator's kubeconfig. It is there while the cluster is up.
func (r *Rig) Kubeconfig() string { return filepath.Join(r.Dir, "admin.kubeconfig") }

// Logs is the folder with one log file for each program of the last run.
func (r *Rig) Logs() string { return filepath.Join(r.Dir, "logs") }

// Cgroup is the name of the control group that holds the pods, distinct for each folder.
func (r *Rig) Cgroup() string {
	sum := sha256.Sum256([]byte(r.Dir))
	return "fibership-" + hex.EncodeToString(sum[:4])
}

// CheckHost says why this machine cannot run a cluster, or nil.
func CheckHost() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("not root: namespaces and control groups need it; run the command with sudo")
	}
	return checkCgroups()
}
