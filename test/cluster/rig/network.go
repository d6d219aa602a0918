//go:build linux

package rig

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// setUpNetwork gives the namespace its loopback and an interface with the node's address. The default route leads
// nowhere; it exists because the kernel wants a route to a service's address before it rewrites it to a pod's. A veth
// pair serves as the interface, because many kernels come without the dummy device.
func setUpNetwork() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback interface: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("set the loopback interface up: %w", err)
	}
	node := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "node0"}, PeerName: "node1"}
	if err := netlink.LinkAdd(node); err != nil {
		return fmt.Errorf("add the node's interface: %w", err)
	}
	address := &net.IPNet{IP: net.ParseIP(nodeAddress), Mask: net.CIDRMask(32, 32)}
	if err := netlink.AddrAdd(node, &netlink.Addr{IPNet: address}); err != nil {
		return fmt.Errorf("add the node's address: %w", err)
	}
	for _, name := range []string{node.Name, node.PeerName} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find interface %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("set interface %s up: %w", name, err)
		}
	}
	everywhere := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	route := &netlink.Route{LinkIndex: node.Attrs().Index, Dst: everywhere, Scope: netlink.SCOPE_LINK, Src: address.IP}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add the default route: %w", err)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("let packets through to the pods: %w", err)
	}
	return nil
}
