package rollout

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// wire is a way to the API server that can be cut.
type wire struct {
	to     string
	mu     sync.Mutex
	down   bool
	open   map[net.Conn]bool
	opened int
}

func newWire(t *testing.T, to string) (*wire, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = l.Close(); w.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w, l.Addr().String()
}

func (w *wire) carry(c net.Conn) {
	defer c.Close()
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		return
	}
	up, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer up.Close()
	w.mu.Lock()
	w.open[c], w.open[up] = true, true
	w.opened++
	w.mu.Unlock()
	go func() { _, _ = up.(*net.TCPConn).ReadFrom(c); _ = up.Close() }()
	_, _ = c.(*net.TCPConn).ReadFrom(up)
	w.mu.Lock()
	delete(w.open, c)
	delete(w.open, up)
	w.mu.Unlock()
}

// cut breaks every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
}

func (w *wire) set(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
	if down {
		w.cut()
	}
}

// through is the test's client by way of a wire.
func (h *house) through(t *testing.T) (*cluster.Client, *wire) {
	t.Helper()
	u, err := url.Parse(h.Client.REST.Host)
	if err != nil {
		t.Fatal(err)
	}
	w, address := newWire(t, u.Host)
	config := rest.CopyConfig(h.Client.REST)
	config.WrapTransport, config.Host = nil, "https://"+address
	config.ServerName = u.Hostname()
	c, err := cluster.New(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	return c, w
}

func TestWait_streamsCutEverySecond(t *testing.T) {
	h := newHouse(t)
	c, w := h.through(t)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-t.Context().Done():
				return
			case <-tick.C:
				w.cut()
			}
		}
	}()
	good := h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
		c.Env = []corev1.EnvVar{{Name: "UNREADY", Value: "6s"}}
	}))
	if err := Wait(t.Context(), c, []release.Object{good}, Options{Timeout: 40 * time.Second, Log: &journal{t: t}}); err != nil {
		t.Error(err)
	}
	if w.opened < 4 {
		t.Errorf("%d connections: nothing was cut", w.opened)
	}
}

func TestWait_apiServerAwayFor20Seconds(t *testing.T) {
	h := newHouse(t)
	c, w := h.through(t)
	// What is missing at first is there when the server is back: the grace
	// must not run out while nothing is known.
	o := h.deploy(t, h.pods(func(_ *corev1.PodSpec, c *corev1.Container) {
		c.EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
	}))
	log := &journal{t: t}
	done := make(chan error, 1)
	go func() {
		done <- Wait(t.Context(), c, []release.Object{o}, Options{Timeout: 90 * time.Second, Log: log})
	}()
	testcluster.Eventually(t, 20*time.Second, "the trouble", func(testContext) bool {
		return slices.ContainsFunc(log.all(), func(line string) bool { return strings.Contains(line, "suspect") })
	})
	w.set(true)
	if _, err := h.Client.Kube.CoreV1().ConfigMaps(h.Namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	back := time.After(20 * time.Second)
	select {
	case <-back:
	case err := <-done:
		t.Fatalf("Wait ended while the server was away: %v", err)
	}
	w.set(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !strings.Contains(strings.Join(log.all(), "\n"), "the API server does not answer") {
		t.Error("the log does not tell that the server was away")
	}
}
