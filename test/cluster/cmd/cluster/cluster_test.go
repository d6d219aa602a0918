//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fibership/fibership/test/cluster/rig"
)

// asCommand in the environment makes the test's binary behave as the command itself.
const asCommand = "CLUSTER_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	supervises := len(os.Args) > 1 && os.Args[1] == rig.SuperviseCommand
	if supervises || os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// cluster is the command with the state folder dir.
type cluster struct {
	t   *testing.T
	dir string
}

type result struct {
	code   int
	stdout string
	stderr string
}

func (c cluster) run(args ...string) result {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(c.t.Context(), os.Args[0], append([]string{"--dir", c.dir}, args...)...)
	command.Env = append(os.Environ(), asCommand+"=1")
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return result{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs the command and ends the test unless it succeeds.
func (c cluster) must(args ...string) string {
	c.t.Helper()
	got := c.run(args...)
	if got.code != 0 {
		c.t.Fatalf("cluster %s: exit code %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

// settings of the machine that programs inside of the cluster want otherwise.
var settings = []string{
	"net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// traces are the mounts, interfaces and settings by which a cluster could show outside of its namespaces. What else
// runs on the machine may change the rest meanwhile.
func traces(t *testing.T, dir string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[1]
		private := point == "/run" || point == "/var/lib" || point == "/var/log"
		if private || strings.HasPrefix(point, "/run/fibership") || strings.HasPrefix(point, "/proc/sys/") || strings.HasPrefix(point, dir) {
			found = append(found, line)
		}
	}
	interfaces, err := filepath.Glob("/sys/class/net/node*")
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, interfaces...)
	for _, name := range settings {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		found = append(found, name+" "+string(value))
	}
	return strings.Join(found, "\n")
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a whole cluster")
	}
	if err := rig.CheckHost(); err != nil {
		t.Skip(err)
	}
	c := cluster{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		command := exec.Command(os.Args[0], "--dir", c.dir, "down") //nolint:noctx // the test's context has ended
		command.Env = append(os.Environ(), asCommand+"=1")
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("down: %v\n%s", err, output)
		}
	})
	return c
}

func TestCluster_servesFromUpToDownAndLeavesNothing(t *testing.T) {
	c := newCluster(t)
	before := traces(t, c.dir)

	// Two at once start one cluster.
	other := make(chan result, 1)
	go func() { other <- c.run("up") }()
	outputs := c.must("up")
	second := <-other
	if second.code != 0 {
		t.Fatalf("the other up: %+v", second)
	}
	outputs += second.stdout
	if strings.Count(outputs, "pods start") != 1 || strings.Count(outputs, "is up already") != 1 {
		t.Errorf("not one start and one refusal:\n%s", outputs)
	}

	if got := c.must("in", "--", "kubectl", "get", "--raw", "/readyz"); got != "ok" {
		t.Errorf("the API server answered %q", got)
	}
	c.must("in", "--", "kubectl", "run", "one", "--image", rig.RegistryAddress+"/pause:1")
	c.must("in", "--", "kubectl", "wait", "--for=condition=Ready", "pod/one", "--timeout=30s")
	if got := c.run("in", "--", "sh", "-c", "exit 7"); got.code != 7 {
		t.Errorf("the command's exit code 7 became %d", got.code)
	}
	if got := c.run("in", "--", "sh", "-c", "kill -TERM $$"); got.code != -1 {
		t.Errorf("the command's death by a signal became exit code %d", got.code)
	}
	if got := c.must("env"); !strings.Contains(got, "export KUBECONFIG='"+filepath.Join(c.dir, "admin.kubeconfig")+"'") {
		t.Errorf("env printed\n%s", got)
	}

	c.must("down")
	if got := c.run("status"); got.code != 3 {
		t.Errorf("status after down: %+v", got)
	}
	leavesNothing(t, c, before)
}

func TestDown_cleansUpAfterKill(t *testing.T) {
	c := newCluster(t)
	before := traces(t, c.dir)
	c.must("up")
	pid := firstProcess(t, c.must("status"))
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.must("down")
	leavesNothing(t, c, before)
}

func firstProcess(t *testing.T, status string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)^pid +(\d+)$`).FindStringSubmatch(status)
	if found == nil {
		t.Fatalf("no PID in\n%s", status)
	}
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func leavesNothing(t *testing.T, c cluster, before string) {
	t.Helper()
	if after := traces(t, c.dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	left, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if entry.Name() != "lock" && entry.Name() != "logs" {
			t.Errorf("%s is still there", entry.Name())
		}
	}
	opened, err := rig.New(c.dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		groups, err := filepath.Glob(pattern + opened.Cgroup())
		if err != nil || len(groups) > 0 {
			t.Errorf("control groups are still there: %v %v", groups, err)
		}
	}
}

func TestQuote_makesOneWord(t *testing.T) {
	for _, value := range []string{"", "plain", "two words", `it's "quoted" $HOME`} {
		output, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quote(value)).Output()
		if err != nil || string(output) != value {
			t.Errorf("%q became %q (%v)", value, output, err)
		}
	}
}
