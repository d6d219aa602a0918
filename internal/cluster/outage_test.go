package cluster_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// tunnel forwards a loopback address to the API server until it is cut; then
// nobody listens there, and what was open is reset.
type tunnel struct {
	to, address string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
}

func dig(t *testing.T, to string) *tunnel {
	t.Helper()
	d := &tunnel{to: to, address: "127.0.0.1:0", open: map[net.Conn]bool{}}
	if err := d.mend(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cut)
	return d
}

// mend listens, where it did before. It tries for five seconds: for a moment
// somebody else's connection may have the port.
func (d *tunnel) mend() error {
	listener, err := net.Listen("tcp", d.address)
	for begun := time.Now(); err != nil && time.Since(begun) < 5*time.Second; {
		<-time.After(50 * time.Millisecond)
		listener, err = net.Listen("tcp", d.address)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.listener, d.address = listener, listener.Addr().String()
	d.mu.Unlock()
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go d.join(from)
		}
	}()
	return nil
}

func (d *tunnel) join(from net.Conn) {
	to, err := net.Dial("tcp", d.to)
	if err != nil {
		from.Close()
		return
	}
	d.mu.Lock()
	d.open[from], d.open[to] = true, true
	d.mu.Unlock()
	go func() { _, _ = io.Copy(to, from); to.Close() }()
	_, _ = io.Copy(from, to)
	from.Close()
}

func (d *tunnel) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listener.Close()
	for conn := range d.open {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		conn.Close()
	}
	clear(d.open)
}

func (d *tunnel) client(t *testing.T, c *cluster.Client) *cluster.Client {
	t.Helper()
	config := rest.CopyConfig(c.REST)
	config.WrapTransport = nil
	config.Host = "https://" + d.address
	client, err := cluster.New(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func apiServer(t *testing.T, c *cluster.Client) string {
	t.Helper()
	u, err := url.Parse(c.REST.Host)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// The API server goes away under an apply and a read that are under way again
// and again, and comes back; nothing of it is seen outside.
func TestClient_ridesOutAnAPIServerThatIsAway(t *testing.T) {
	c := testcluster.New(t)
	way := dig(t, apiServer(t, c.Client))
	client := way.client(t, c.Client)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	u := object(t, c.Namespace, settings)
	apply(t, client, u)
	away, back := make(chan struct{}), make(chan struct{})
	go func() {
		<-away
		way.cut()
		time.AfterFunc(4*time.Second, func() {
			if err := way.mend(); err != nil {
				t.Error(err)
			}
			close(back)
		})
	}()
	begun := time.Now()
	close(away)
	for i, after := 0, 0; after < 5; i++ {
		_ = unstructured.SetNestedField(u.Object, time.Now().String(), "data", "time")
		if _, err := client.Apply(ctx, u, cluster.ApplyOptions{}); err != nil {
			t.Fatalf("apply %d, %s after the cut: %v", i, time.Since(begun), err)
		}
		if now, err := client.Get(ctx, release.Describe(u)); err != nil || now == nil {
			t.Fatalf("read %d, %s after the cut: %v", i, time.Since(begun), err)
		}
		select {
		case <-back:
			after++
		default:
		}
	}
}

func TestClient_saysThatTheAPIServerIsAway(t *testing.T) {
	c := testcluster.New(t)
	way := dig(t, apiServer(t, c.Client))
	client := way.client(t, c.Client)
	way.cut()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	_, err := client.Apply(ctx, object(t, c.Namespace, settings), cluster.ApplyOptions{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 6*time.Second {
		t.Errorf("after %s: %v; the context's end is to end it", time.Since(begun), err)
	}
	if strings.Contains(err.Error(), "BEGIN") {
		t.Error("a credential is in the error")
	}
}
