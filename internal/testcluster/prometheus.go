package testcluster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
	command := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:gosec // the program of the test
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

// PodScrapes is a scrape configuration of all pods of a namespace, on port
// 3000, with the labels namespace, pod and version (the pod-template-hash).
func PodScrapes(namespace string) string {
	return fmt.Sprintf(`- job_name: pods-%[1]s
  kubernetes_sd_configs:
  - {role: pod, kubeconfig_file: %[2]q, namespaces: {names: [%[1]s]}}
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_ip], target_label: __address__, replacement: "$1:3000"}
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
  - {source_labels: [__meta_kubernetes_pod_label_pod_template_hash], target_label: version}
`, namespace, os.Getenv("KUBECONFIG"))
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
