//go:build linux

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Variable is one variable of the environment.
type Variable struct{ Name, Value string }

// Environment is what a command needs to find the cluster, once it is inside of its network namespace. It fails when
// the cluster is not up.
func (r *Rig) Environment() ([]Variable, error) {
	status, err := r.up()
	if err != nil {
		return nil, err
	}
	return r.environment(status), nil
}

func (r *Rig) environment(status Status) []Variable {
	return []Variable{
		{"KUBECONFIG", r.Kubeconfig()},
		{"FIBERSHIP_TEST_CLUSTER", "1"},
		{"FIBERSHIP_TEST_REGISTRY", RegistryAddress},
		{"FIBERSHIP_TEST_GATEWAY", shared.String()},
		{"FIBERSHIP_TEST_SLOW_GATEWAY", slow.String()},
		// Nothing is reached from inside but the cluster: say so at once instead of after a time-out.
		{"GOPROXY", "off"},
		{"PATH", status.Programs + ":" + os.Getenv("PATH")},
	}
}

// up is the cluster's state, or an error when it is not up.
func (r *Rig) up() (Status, error) {
	status, err := r.Status()
	if err == nil && status.Phase != Up {
		err = fmt.Errorf("the cluster in %s is %s: bring it up first, with `cluster up`", r.Dir, status.Phase)
	}
	return status, err
}

// Enter replaces this process by the command, inside of the cluster's network namespace and with [Rig.Environment].
// Signals and exit code are thereby the command's own. It returns only when that fails.
func (r *Rig) Enter(command []string) error {
	status, err := r.up()
	if err != nil {
		return err
	}
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", status.PID))
	if err != nil {
		return fmt.Errorf("open the cluster's network namespace: %w", err)
	}
	for _, variable := range r.environment(status) {
		if err := os.Setenv(variable.Name, variable.Value); err != nil {
			return err
		}
	}
	environment := os.Environ()
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	// A namespace belongs to a thread, and the new program gets that of the thread which calls exec.
	runtime.LockOSThread()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the cluster's network namespace: %w", err)
	}
	if err := syscall.Exec(path, command, environment); err != nil { //nolint:gosec // running what it is given is its purpose
		return fmt.Errorf("run %s: %w", strings.Join(command, " "), err)
	}
	return nil
}
