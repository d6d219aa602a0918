//go:build linux

// Command cluster brings up a real Kubernetes of one node and a real registry for tests and the demo, in namespaces of
// their own, and takes them down again without a trace.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fibership/fibership/test/cluster/provision"
	"github.com/fibership/fibership/test/cluster/rig"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == rig.SuperviseCommand {
		exit(rig.Supervise(&rig.Rig{Dir: os.Args[2], Programs: os.Args[3], Version: os.Args[4]}))
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	exit(newRootCommand().ExecuteContext(ctx))
}

// errDown is the answer of status when there is no cluster to use.
var errDown = errors.New("cluster is not up")

func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	if errors.Is(err, errDown) {
		os.Exit(3)
	}
	os.Exit(1)
}

func newRootCommand() *cobra.Command {
	var dir string
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "A real Kubernetes and a real registry for tests, in namespaces of their own",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&dir, "dir", "", "folder that holds the cluster's state (default fibership/cluster/run below the user's cache folder)")
	open := func() (*rig.Rig, error) { return openRig(dir) }
	root.AddCommand(newUpCommand(open), newDownCommand(open), newStatusCommand(open), newEnvCommand(open), newInCommand(open))
	return root
}

// openRig is the cluster in dir, down or up.
func openRig(dir string) (*rig.Rig, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = filepath.Join(cache, "run")
	}
	build, err := provision.NewBuild(cache)
	if err != nil {
		return nil, err
	}
	return rig.New(dir, build.Dir, build.Version)
}

func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(cache, "fibership", "cluster"), nil
}
