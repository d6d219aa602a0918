// Package cluster holds the sources of the test cluster, so that the command can compile them wherever it runs and
// tell one version from another.
package cluster

import "embed"

// Source is this module: go.mod, go.sum, the Kubernetes binary's and the pause program's packages, and package rig.
//
//go:embed go.mod go.sum kubernetes/*.go pause/*.go rig/*.go rig/conf pki/*.go
var Source embed.FS
