//go:build linux

package rig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// neededControllers are those that the kubelet refuses to start without. In version 2 cpu includes cpuacct.
var neededControllers = map[bool][]string{
	false: {"cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer"},
	true:  {"cpu", "cpuset", "memory", "pids"},
}

// unified tells whether the machine has version 2 of control groups alone.
func unified() bool {
	var stat unix.Statfs_t
	return unix.Statfs(cgroupMount, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
}

func checkCgroups() error {
	var missing []string
	if unified() {
		content, err := os.ReadFile(filepath.Join(cgroupMount, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("list control group controllers: %w", err)
		}
		for _, controller := range neededControllers[true] {
			if !slices.Contains(strings.Fields(string(content)), controller) {
				missing = append(missing, controller)
			}
		}
	} else {
		for _, controller := range neededControllers[false] {
			if _, err := os.Stat(filepath.Join(cgroupMount, controller, "cgroup.procs")); err != nil {
				missing = append(missing, controller)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("control group controllers missing below %s: %s; the kubelet needs them: mount them, or give this container its host's control groups",
			cgroupMount, strings.Join(missing, ", "))
	}
	return nil
}

// createCgroup makes the control group below which the kubelet puts the pods. It must be there before the kubelet starts.
func createCgroup(name string) error {
	if unified() {
		return createUnifiedCgroup(name)
	}
	controllers, err := os.ReadDir(cgroupMount)
	if err != nil {
		return err
	}
	for _, controller := range controllers {
		parent := filepath.Join(cgroupMount, controller.Name())
		// Hierarchies that are mounted together are joined by symbolic links: cpu → cpu,cpuacct.
		if !controller.IsDir() || controller.Name() == "unified" {
			continue
		}
		group := filepath.Join(parent, name)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create control group: %w", err)
		}
		// A new group of cpuset is empty, and takes no process until it is filled.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(parent, group, file); err != nil {
				return err
			}
		}
	}
	return nil
}

func inherit(parent, group, file string) error {
	value, err := os.ReadFile(filepath.Join(parent, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(group, file), bytes.TrimSpace(value), 0o644); err != nil {
		return fmt.Errorf("fill %s: %w", file, err)
	}
	return nil
}

func createUnifiedCgroup(name string) error {
	group := filepath.Join(cgroupMount, name)
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create control group: %w", err)
	}
	enable := []byte("+" + strings.Join(neededControllers[true], " +"))
	for _, parent := range []string{cgroupMount, group} {
		if err := os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), enable, 0o644); err != nil {
			return fmt.Errorf("enable controllers for the groups below %s (a group that holds processes cannot have them: run the command outside of a container, or in one with --cgroupns=host): %w", parent, err)
		}
	}
	return nil
}

// removeCgroup removes the control group and all below it, in every hierarchy. The kernel lets go of a group only some
// moments after its last process has ended, hence the time limit.
func removeCgroup(name string, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		left, err := removeCgroupOnce(name)
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control groups still in use after %s: %s", within, strings.Join(left, ", "))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func removeCgroupOnce(name string) (left []string, err error) {
	roots, err := filepath.Glob(filepath.Join(cgroupMount, "*", name))
	if err != nil {
		return nil, err
	}
	for _, root := range append(roots, filepath.Join(cgroupMount, name)) {
		var groups []string
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list control groups: %w", err)
		}
		for _, group := range slices.Backward(groups) {
			if err := unix.Rmdir(group); err != nil && !errors.Is(err, unix.ENOENT) {
				left = append(left, group)
			}
		}
	}
	return left, nil
}
