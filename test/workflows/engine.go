package workflows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Engine is a Docker daemon of our own. It lives in PID and mount namespaces
// that end with it, leaves the machine's network alone, and ends with this
// process, however that ends.
type Engine struct {
	host   string // unix://…
	dir    string
	log    string
	cmd    *exec.Cmd
	ended  chan error
	unlock func()
}

// cgroup is the parent of all control groups of ours. The lock on the data
// root sees to it that nobody else uses it.
const cgroup = "fibership-workflows"

// start starts the daemon on data, which it keeps from run to run.
func start(ctx context.Context, data string) (*Engine, error) {
	unlock, err := lock(ctx, data+".lock")
	if err != nil {
		return nil, err
	}
	// Sockets have short names.
	dir, err := os.MkdirTemp("", "fibership-engine-")
	if err != nil {
		unlock()
		return nil, err
	}
	removeControlGroups() // what a killed run left
	e := &Engine{
		host: "unix://" + filepath.Join(dir, "docker.sock"), dir: dir, log: filepath.Join(dir, "dockerd.log"),
		ended: make(chan error, 1), unlock: unlock,
	}
	if err := e.launch(data); err != nil {
		return nil, errors.Join(err, e.clean())
	}
	if err := e.await(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) launch(data string) error {
	log, err := os.Create(e.log)
	if err != nil {
		return err
	}
	defer log.Close()
	// The shell sees to what must be done within the namespaces, and is gone.
	const within = `mount -t proc proc /proc && mount -t tmpfs tmpfs /run && exec "$@"`
	e.cmd = exec.CommandContext(context.Background(), "/bin/sh", "-c", within, "sh",
		program("dockerd"), "--host", e.host, "--data-root", data, "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--storage-driver=overlay2",
		"--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent=/"+cgroup,
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	e.cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS, // which also makes mounts private
		Pdeathsig:    syscall.SIGKILL,
		Setpgid:      true, // an interrupt at the terminal is for us to pass on
	}
	started := make(chan error)
	go func() {
		// The signal comes when the thread ends that started the daemon.
		runtime.LockOSThread()
		err := e.cmd.Start()
		started <- err
		if err == nil {
			e.ended <- e.cmd.Wait()
		}
	}()
	return <-started
}

// await waits until the daemon answers.
func (e *Engine) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := e.docker(ctx, nil, nil, "version")
		if err == nil {
			return nil
		}
		select {
		case ended := <-e.ended:
			e.ended <- ended
			said, _ := os.ReadFile(e.log)
			return fmt.Errorf("the Docker daemon ended: %v\n%s", ended, said[max(0, len(said)-4096):]) //nolint:errorlint // what it was is told by its log
		case <-ctx.Done():
			return fmt.Errorf("the Docker daemon does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// docker runs the client.
func (e *Engine) docker(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, program("docker"), args...)
	cmd.Env = []string{"DOCKER_HOST=" + e.host, "HOME=" + e.dir, "DOCKER_BUILDKIT=0"}
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, io.MultiWriter(&said), &said
	if stdout != nil {
		cmd.Stdout = io.MultiWriter(&said, stdout)
	}
	if err := cmd.Run(); err != nil {
		out := said.Bytes()
		return fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out[max(0, len(out)-4096):])
	}
	return nil
}

// kill ends every container that runs, as a lost runner does.
func (e *Engine) kill(ctx context.Context) error {
	var ids bytes.Buffer
	if err := e.docker(ctx, nil, &ids, "ps", "--quiet"); err != nil {
		return err
	}
	running := strings.Fields(ids.String())
	if len(running) == 0 {
		return errors.New("no container runs that could be killed")
	}
	return e.docker(ctx, nil, nil, append([]string{"kill", "--signal=KILL"}, running...)...)
}

// Close ends the daemon and with it every container, and removes what is of
// no use to a later run.
func (e *Engine) Close() error {
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
	case <-time.After(15 * time.Second):
		_ = e.cmd.Process.Kill() // the first of its PID namespace: all others end too
		<-e.ended
	}
	return e.clean()
}

func (e *Engine) clean() error {
	removeControlGroups()
	e.unlock()
	return os.RemoveAll(e.dir)
}

func removeControlGroups() {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + cgroup)
	for _, root := range append(roots, "/sys/fs/cgroup/"+cgroup) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- { // the innermost first
			_ = os.Remove(dirs[i])
		}
	}
}
