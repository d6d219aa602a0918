//go:build !linux

// Command cluster runs on Linux only.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "cluster: not Linux but %s: the cluster is made of Linux namespaces and control groups; use a Linux machine, or a cluster of your own through KUBECONFIG\n", runtime.GOOS)
	os.Exit(1)
}
