//go:build linux

package rig

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Places inside the cluster's mount namespace.
const (
	insideDir   = "/run/fibership"
	stateDir    = insideDir + "/state" // Rig.Dir
	programsDir = insideDir + "/bin"   // Rig.Programs
	confDir     = insideDir + "/conf"
	pkiDir      = insideDir + "/pki"
	sysctlDir   = insideDir + "/sysctl"
)

// machineSettings are kernel settings of the whole machine that the kubelet writes, with the values that it wants.
// It is shown files that hold them already, so that the machine keeps its own.
var machineSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// mountPrivate gives the namespace a /proc of its own, empty folders wherever the cluster's programs keep state, and
// the two folders from outside under insideDir, which may lie below a folder that is hidden by then.
func mountPrivate(dir, programs string) error {
	// Private towards the machine, shared towards the containers, as the kubelet expects it.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("change mount propagation: %w", err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	outside := map[string]int{}
	for target, source := range map[string]string{stateDir: dir, programsDir: programs} {
		fd, err := unix.Open(source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", source, err)
		}
		defer func() { _ = unix.Close(fd) }()
		outside[target] = fd
	}
	for _, target := range []string{"/run", "/var/lib", "/var/log"} {
		if err := unix.Mount("tmpfs", target, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount an empty %s: %w", target, err)
		}
	}
	for target, fd := range outside {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	return hideMachineSettings()
}

func hideMachineSettings() error {
	for name, value := range machineSettings {
		setting := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(setting); err != nil {
			continue
		}
		stand := filepath.Join(sysctlDir, name)
		if err := os.MkdirAll(filepath.Dir(stand), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(stand, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(stand, setting, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide %s: %w", setting, err)
		}
	}
	return nil
}
