// Package cluster holds the sources of the test cluster, so that the command can compile them wherever it runs and
// tell one version from another.
package cluster

import "embed"

// Source has what the Kubernetes binary and the pause program are compiled from, the modules of Traefik, which has no
// code of ours, and package rig, which runs them all.
//
//go:embed go.mod go.sum traefik.mod traefik.sum kubernetes/*.go nameserver/*.go pause/*.go pki/*.go rig/*.go rig/conf
var Source embed.FS
