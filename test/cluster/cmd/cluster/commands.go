//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fibership/fibership/test/cluster/provision"
	"github.com/fibership/fibership/test/cluster/rig"
)

type opener func() (*rig.Rig, error)

func newUpCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Bring the cluster up; when it is up already, say so",
		Long: `Brings the cluster up and waits until pods start. The first time it installs the Debian packages that are missing
and compiles Kubernetes, which takes some minutes; from then on it takes seconds.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			started := time.Now()
			if err := rig.CheckHost(); err != nil {
				return err
			}
			cache, err := cacheDir()
			if err != nil {
				return err
			}
			progress := command.OutOrStdout()
			if err := provision.Packages(command.Context(), progress); err != nil {
				return err
			}
			build, err := provision.NewBuild(cache)
			if err != nil {
				return err
			}
			if err := build.Run(command.Context(), progress); err != nil {
				return err
			}
			cluster, err := open()
			if err != nil {
				return err
			}
			if err := cluster.Up(command.Context(), progress); err != nil {
				return err
			}
			_, err = fmt.Fprintf(progress, "cluster is up in %s (%.1fs): `cluster in -- kubectl get nodes`\n", cluster.Dir, time.Since(started).Seconds())
			return err
		},
	}
}

func newDownCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the cluster and remove what it left on the machine, in whatever state it is",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := open()
			if err != nil {
				return err
			}
			return cluster.Down(command.Context(), command.OutOrStdout())
		},
	}
}

func newStatusCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the cluster is up; exit code 3 when it is not",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := open()
			if err != nil {
				return err
			}
			status, err := cluster.Status()
			if err != nil {
				return err
			}
			out := command.OutOrStdout()
			fmt.Fprintf(out, "state    %s\nfolder   %s\nlogs     %s\n", status.Phase, cluster.Dir, cluster.Logs())
			if status.Phase != rig.Down {
				fmt.Fprintf(out, "version  %s\npid      %d\nsince    %s\n", status.Version, status.PID, status.Since.Format(time.DateTime))
			}
			if status.Error != "" {
				fmt.Fprintf(out, "error    %s\n", status.Error)
			}
			if status.Phase != rig.Up {
				return errDown
			}
			return nil
		},
	}
}

func newEnvCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print the variables that `in` sets, for a shell to read",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			cluster, err := open()
			if err != nil {
				return err
			}
			variables, err := cluster.Environment()
			if err != nil {
				return err
			}
			for _, variable := range variables {
				fmt.Fprintf(command.OutOrStdout(), "export %s=%s\n", variable.Name, quote(variable.Value))
			}
			return nil
		},
	}
}

// quote makes one word of the value, whatever a POSIX shell would see in it.
func quote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

func newInCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "in -- COMMAND [ARGUMENT]...",
		Short: "Run a command in the cluster's network, with KUBECONFIG set and kubectl on the PATH",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cluster, err := open()
			if err != nil {
				return err
			}
			return cluster.Enter(args)
		},
	}
}
