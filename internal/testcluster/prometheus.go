package testcluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StartPrometheus runs a real Prometheus that scrapes every second what the
// scrape configurations (YAML, the items of scrape_configs) say, and gives its
// URL on a host's address, until the test ends. It skips the test where the
// program is missing, and fails it where CI is set.
func StartPrometheus(t testing.TB, host, scrapeConfigs string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		const how = "needs Prometheus: run `make prepare` as root, or apt-get install prometheus"
		if os.Getenv("CI") == "true" {
			t.Fatal(how)
		}
		t.Skip(how)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	content := "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" + scrapeConfigs
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t, host)
	// It ends by a signal and writes what it has: the folder is removed only then.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	command := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", said.Bytes())
		}
	})
	url := "http://" + address
	Eventually(t, 30*time.Second, "Prometheus", func(ctx context.Context) bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/-/ready", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return url
}

// PodScrapes is a scrape configuration of all pods of a namespace that run, on
// a port, with the labels namespace, pod and version (the pod-template-hash).
// Debian's Prometheus cannot find pods by itself, so the test tells it.
func (c *T) PodScrapes(t testing.TB, namespace string, port int) string {
	t.Helper()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	finder := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pods, err := c.Client.Kube.CoreV1().Pods(namespace).List(r.Context(), metav1.ListOptions{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		groups := []group{}
		for i := range pods.Items {
			if pod := &pods.Items[i]; pod.Status.PodIP != "" && pod.Status.Phase == corev1.PodRunning {
				groups = append(groups, group{
					[]string{net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port))},
					map[string]string{"namespace": namespace, "pod": pod.Name, "version": pod.Labels["pod-template-hash"]},
				})
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(groups)
	}))
	t.Cleanup(finder.Close)
	return fmt.Sprintf("- job_name: pods\n  http_sd_configs:\n  - {url: %q, refresh_interval: 1s}\n", finder.URL)
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
