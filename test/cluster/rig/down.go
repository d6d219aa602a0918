//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stopGrace   = 2 * time.Second  // for PID 1 to follow SIGTERM
	killGrace   = 10 * time.Second // for the kernel to end all processes of the namespace
	cgroupGrace = 10 * time.Second // for the kernel to let go of their control groups
)

// Down ends the cluster, in whatever state it is, and removes what outlives its processes. The logs stay. Without a
// cluster it removes what one that was killed has left.
func (r *Rig) Down(ctx context.Context, progress io.Writer) error {
	if _, err := os.Stat(r.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := r.lock(ctx, progress)
	if err != nil {
		return err
	}
	defer unlock()
	status, err := r.Status()
	if err != nil {
		return err
	}
	if status.Phase != Down {
		if err := end(status); err != nil {
			return err
		}
	}
	return r.clear()
}

// end ends PID 1. All other processes of its namespace, its mounts and interfaces end with it.
func end(status Status) error {
	// The descriptor stands for this very process, even if the number is given away again.
	process, err := unix.PidfdOpen(status.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", status.PID, err)
	}
	defer func() { _ = unix.Close(process) }()
	if born, err := bornAt(status.PID); err != nil || born != status.Born {
		return nil
	}
	for _, attempt := range []struct {
		signal unix.Signal
		grace  time.Duration
	}{{unix.SIGTERM, stopGrace}, {unix.SIGKILL, killGrace}} {
		if err := unix.PidfdSendSignal(process, attempt.signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end process %d: %w", status.PID, err)
		}
		if ended(process, attempt.grace) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", status.PID)
}

// ended waits until the process has ended: its descriptor becomes readable then.
func ended(process int, within time.Duration) bool {
	deadline := time.Now().Add(within)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, int(left.Milliseconds())) //nolint:gosec // a descriptor is small
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
}

// clear removes what a cluster leaves behind when its processes are gone.
func (r *Rig) clear() error {
	if err := removeCgroup(r.Cgroup(), cgroupGrace); err != nil {
		return err
	}
	for _, file := range []string{statusFile(r.Dir), statusFile(r.Dir) + ".new", r.Kubeconfig()} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
