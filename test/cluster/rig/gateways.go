//go:build linux

package rig

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// gatewayNamespace and gatewayLabel are known to the program gateway-api, too.
const (
	gatewayNamespace = "gateway-system"
	gatewayLabel     = "fibership.dev/gateway"
)

// gateway is a Gateway with a Traefik of its own. Routes of every namespace may name it as their parent.
type gateway struct {
	name string // also of its GatewayClass
	port int    // on the node's address
	// throttle is the least time between two configurations that reach the proxy. The routes' status does not wait for
	// it: it says what is going to be.
	throttle time.Duration
}

var (
	shared = gateway{name: "shared", port: 8000, throttle: 100 * time.Millisecond}
	slow   = gateway{name: "slow", port: 8001, throttle: 20 * time.Second}
)

func (g gateway) address() string { return fmt.Sprintf("%s:%d", nodeAddress, g.port) }

// String is what tests are told: namespace/name@URL.
func (g gateway) String() string {
	return fmt.Sprintf("%s/%s@http://%s", gatewayNamespace, g.name, g.address())
}

// await polls until the Gateway answers, with whatever status: it has no routes yet.
func (g gateway) await(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	return poll(ctx, "Gateway "+g.name, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.address(), http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
}
