//go:build linux

// Package provision sees to what must be on the machine before a cluster can start: Debian packages and the Kubernetes
// binary. It knows nothing of how the cluster runs.
package provision

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// requirements says which package brings a program. The programs of the first column are looked for.
var requirements = []struct {
	program string
	pkg     string
}{
	{"containerd", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"runc", "runc"},
	{"iptables-restore", "iptables"},
	{"ptp", "containernetworking-plugins"},
	{"host-local", "containernetworking-plugins"},
}

// searchPath has the folders of system programs, which are not on every user's PATH, and of CNI plugins.
var searchPath = []string{
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
	"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni",
}

// Packages installs the packages whose programs are missing, with apt-get. Without apt-get it fails and names them.
func Packages(ctx context.Context, progress io.Writer) error {
	missing := missingPackages(searchPath)
	if len(missing) == 0 {
		return nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("these programs' packages are missing, and there is no apt-get to install them: %s", strings.Join(missing, ", "))
	}
	names := strings.Join(missing, " ")
	return during(ctx, progress, "install "+names, func(ctx context.Context, _ func(string)) error {
		if err := run(ctx, apt, "update", "-q"); err != nil {
			return err
		}
		return run(ctx, apt, append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)...)
	})
}

func missingPackages(folders []string) []string {
	var missing []string
	for _, needed := range requirements {
		found := slices.ContainsFunc(folders, func(folder string) bool {
			info, err := os.Stat(folder + "/" + needed.program)
			return err == nil && !info.IsDir()
		})
		if !found && !slices.Contains(missing, needed.pkg) {
			missing = append(missing, needed.pkg)
		}
	}
	return missing
}

// run runs a command that asks nothing; its output is part of the error when it fails.
func run(ctx context.Context, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, tail(output))
	}
	return nil
}

// tail is the end of a program's output, where the error is.
func tail(output []byte) []byte {
	const limit = 4096
	output = bytes.TrimSpace(output)
	return output[max(0, len(output)-limit):]
}
