//go:build linux

package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SuperviseCommand is the argument with which the program calls itself to become PID 1; package main routes it to
// [Supervise].
const SuperviseCommand = "supervise"

// pathInside is where PID 1 and its children find programs.
const pathInside = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Up brings the cluster up, or waits until one that is starting is up, and tells on progress what it does. It returns
// with an error when another version is up already. When it is interrupted, what it started goes on: a second Up waits
// for it, Down ends it.
func (r *Rig) Up(ctx context.Context, progress io.Writer) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
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
	switch {
	case status.Phase == Up && status.Version == r.Version:
		fmt.Fprintf(progress, "cluster is up already, since %s\n", status.Since.Format(time.TimeOnly))
		return nil
	case status.Phase != Down && status.Version != r.Version:
		return fmt.Errorf("a cluster of another version (%s, this is %s) runs in %s: end it first, with `cluster down`", status.Version, r.Version, r.Dir)
	case status.Phase == Failed:
		return fmt.Errorf("the cluster in %s failed to start: %s; see %s, then end it with `cluster down`", r.Dir, status.Error, r.Logs())
	case status.Phase == Down:
		if err := r.clear(); err != nil {
			return err
		}
		if err := r.spawn(); err != nil {
			return err
		}
	}
	return r.follow(ctx, progress)
}

// spawn starts PID 1 in new namespaces, cut loose from this process and its terminal.
func (r *Rig) spawn() error {
	if err := os.MkdirAll(r.Logs(), 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(r.Logs(), "supervisor.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	// Not bound to a context: the cluster is meant to outlive this process.
	command := exec.Command("/proc/self/exe", SuperviseCommand, r.Dir, r.Programs, r.Version) //nolint:gosec // ourselves
	command.Env = []string{pathInside, "HOME=/"}
	command.Dir = "/"
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Setsid:     true,
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the cluster's first process: %w", err)
	}
	// Reaped here while this process lives, or else its end would go unnoticed.
	go func() { _ = command.Wait() }()
	return r.awaitStatus(command.Process.Pid)
}

// awaitStatus waits until the new PID 1 has reported for the first time.
func (r *Rig) awaitStatus(pid int) error {
	for range 500 {
		if status, err := r.Status(); err == nil && status.PID == pid {
			return nil
		}
		if _, err := bornAt(pid); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("the cluster's first process did not start: see %s", filepath.Join(r.Logs(), "supervisor.log"))
}

// follow prints the steps as PID 1 reports them, until it is up.
func (r *Rig) follow(ctx context.Context, progress io.Writer) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for shown := 0; ; {
		status, err := r.Status()
		if err != nil {
			return err
		}
		for ; shown < len(status.Steps); shown++ {
			fmt.Fprintf(progress, "%5.1fs  %s\n", status.Steps[shown].After.Seconds(), status.Steps[shown].What)
		}
		switch status.Phase {
		case Up:
			return nil
		case Failed:
			return fmt.Errorf("start the cluster: %s; see %s, then end it with `cluster down`", status.Error, r.Logs())
		case Down:
			return fmt.Errorf("the cluster's first process ended: see %s", filepath.Join(r.Logs(), "supervisor.log"))
		case Starting:
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted while the cluster was starting (it goes on; `cluster down` ends it): %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// lock makes sure that one process alone starts or ends this cluster. The kernel lets go of it with the process.
func (r *Rig) lock(ctx context.Context, progress io.Writer) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(r.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = file.Close() }
	for told := false; ; told = true {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return unlock, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			unlock()
			return nil, fmt.Errorf("lock %s: %w", r.Dir, err)
		}
		if !told {
			fmt.Fprintf(progress, "another command is at work in %s: waiting\n", r.Dir)
		}
		select {
		case <-ctx.Done():
			unlock()
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
