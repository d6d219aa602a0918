//go:build linux

package rig

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// restartDelay keeps a program that cannot start from taking a whole core.
const restartDelay = 300 * time.Millisecond

// program is one of the cluster's programs, with its arguments and what its environment has beside everyone's.
type program struct {
	name string
	path string
	args []string
	env  []string
}

// processes are the children of PID 1. As PID 1 it gets every orphan of the namespace too and has to reap them all,
// so it waits for children in one place instead of leaving that to os/exec, which would compete.
type processes struct {
	env []string

	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
}

func newProcesses(env []string) *processes {
	p := &processes{env: env, waiting: map[int]chan<- syscall.WaitStatus{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() {
		for range ended {
			p.reap()
		}
	}()
	return p
}

func (p *processes) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ended, ours := p.waiting[pid]; ours {
			delete(p.waiting, pid)
			ended <- status
		}
	}
}

// start starts the program. The channel gets its status when it ends.
func (p *processes) start(what program, stdout, stderr *os.File) (<-chan syscall.WaitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	// Held until the child is noted, so that it cannot be reaped as a stranger before.
	p.mu.Lock()
	defer p.mu.Unlock()
	process, err := os.StartProcess(what.path, append([]string{what.path}, what.args...), &os.ProcAttr{
		Dir:   "/",
		Env:   slices.Concat(p.env, what.env),
		Files: []*os.File{null, stdout, stderr},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", what.name, err)
	}
	ended := make(chan syscall.WaitStatus, 1)
	p.waiting[process.Pid] = ended
	_ = process.Release()
	return ended, nil
}

// keep starts the program and starts it again whenever it ends.
func (p *processes) keep(what program) {
	go func() {
		for {
			if err := p.runOnce(what); err != nil {
				log.Print(err)
			}
			time.Sleep(restartDelay)
		}
	}()
}

func (p *processes) runOnce(what program) error {
	output, err := openLog(what.name)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	ended, err := p.start(what, output, output)
	if err != nil {
		return err
	}
	status := <-ended
	return fmt.Errorf("%s ended with %s", what.name, describe(status))
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

func openLog(name string) (*os.File, error) {
	return os.OpenFile(stateDir+"/logs/"+name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}
