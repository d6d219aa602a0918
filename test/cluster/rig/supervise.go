//go:build linux

package rig

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startTimeout bounds the way from nothing to the first pod. A machine that is busy elsewhere needs a part of it.
const startTimeout = 3 * time.Minute

// supervisor is PID 1 of a cluster's namespaces.
type supervisor struct {
	status    Status
	started   time.Time
	processes *processes
}

// Supervise runs as PID 1 of the cluster's new namespaces: it sets them up, starts the programs and keeps them running
// until it is told to stop by SIGTERM. Its end is the end of everything in there.
func Supervise(rig *Rig) error {
	// The old /proc still counts as the machine does.
	self, err := os.Readlink("/proc/self")
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(self)
	if err != nil {
		return err
	}
	born, err := bornAt(pid)
	if err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return errors.New("not the first process of its namespace: this command is started by up alone")
	}
	s := &supervisor{started: time.Now()}
	s.status = Status{Phase: Starting, Version: rig.Version, Programs: rig.Programs, PID: pid, Born: born, Since: s.started}
	if err := s.status.write(rig.Dir); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := s.start(ctx, rig); err != nil {
		s.status.Phase, s.status.Error = Failed, err.Error()
		if err := s.report(); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// start brings everything up, in the order in which one needs the other, and ends when a pod has run.
func (s *supervisor) start(ctx context.Context, rig *Rig) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.prepare(rig); err != nil {
		return err
	}
	daemon, err := containerd()
	if err != nil {
		return err
	}
	for _, program := range append(controlPlane(), daemon) {
		s.processes.keep(program)
	}
	requests, err := openLog("registry")
	if err != nil {
		return err
	}
	if err := serveRegistry(ctx, requests); err != nil {
		return err
	}
	if err := s.done("registry answers"); err != nil {
		return err
	}
	if err := waitForAPIServer(ctx); err != nil {
		return err
	}
	if err := s.done("API server is ready"); err != nil {
		return err
	}
	for _, program := range controllers() {
		s.processes.keep(program)
	}
	if err := s.run(ctx, gatewayAPI()); err != nil {
		return err
	}
	for _, g := range []gateway{shared, slow} {
		s.processes.keep(traefik(g))
	}
	if err := s.run(ctx, bootstrap()); err != nil {
		return err
	}
	for _, g := range []gateway{shared, slow} {
		if err := g.await(ctx); err != nil {
			return err
		}
	}
	if err := s.done("gateways answer"); err != nil {
		return err
	}
	s.status.Phase = Up
	return s.report()
}

// prepare makes the namespaces' insides and writes what the programs read.
func (s *supervisor) prepare(rig *Rig) error {
	if err := mountPrivate(rig.Dir, rig.Programs); err != nil {
		return err
	}
	if err := setUpNetwork(); err != nil {
		return err
	}
	if err := createCgroup(rig.Cgroup()); err != nil {
		return err
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("find runc: %w", err)
	}
	plugins, err := networkPlugins()
	if err != nil {
		return err
	}
	err = writeConf(confDir, settings{
		CgroupRoot:     rig.Cgroup(),
		NetworkPlugins: plugins,
		Runc:           runc,
		NodeAddress:    nodeAddress,
		PodNetwork:     podNetwork,
		Registry:       RegistryAddress,
		PauseImage:     pauseImage,
	})
	if err != nil {
		return err
	}
	kubeconfig, err := writeCredentials()
	if err != nil {
		return err
	}
	s.processes = newProcesses(os.Environ())
	return os.WriteFile(stateDir+"/admin.kubeconfig", kubeconfig, 0o600)
}

// run runs a program to its end; each line that it prints is a step.
func (s *supervisor) run(ctx context.Context, what program) error {
	log, err := openLog(what.name)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = read.Close() }()
	ended, err := s.processes.start(what, write, log)
	_ = write.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = read.SetReadDeadline(time.Now()) })
	defer stop()
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if err := s.done(lines.Text()); err != nil {
			return err
		}
	}
	select {
	case status := <-ended:
		if status != syscall.WaitStatus(0) {
			return fmt.Errorf("%s ended with %s", what.name, describe(status))
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w", what.name, ctx.Err())
	}
}

// done notes a step.
func (s *supervisor) done(what string) error {
	s.status.Steps = append(s.status.Steps, Step{What: what, After: time.Since(s.started)})
	return s.report()
}

func (s *supervisor) report() error { return s.status.write(stateDir) }

// waitForAPIServer polls until the API server says that it is ready.
func waitForAPIServer(ctx context.Context) error {
	client, err := adminClient()
	if err != nil {
		return err
	}
	return poll(ctx, "the API server", func(ctx context.Context) error { return getReady(ctx, client) })
}

// poll asks until there is no error.
func poll(ctx context.Context, what string, ask func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		last := ask(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last answer: %w)", what, ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func getReady(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, apiServerURL+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, response.Body)
		return errors.New(response.Status)
	}
	return nil
}

func adminClient() (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(keys+"admin.crt", keys+"admin.key")
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(keys + "ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS13}},
	}, nil
}
