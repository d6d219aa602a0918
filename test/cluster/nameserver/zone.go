// Package nameserver answers DNS queries for the names of a cluster's services, and for nothing else: there is nothing
// outside of the test cluster to forward a query to.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/miekg/dns"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// answerTTL is short, in seconds: tests replace services under the same name.
const answerTTL = 2

// Zone has the A records of one cluster domain's services, such as orders.staging.svc.cluster.local: the service's
// address, or the addresses of its ready pods where the service is headless.
type Zone struct {
	suffix   string // ".svc.cluster.local."
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// New is the zone of the cluster that client reaches, in the domain given ("cluster.local"). It returns once it knows
// every service, and keeps up with changes until ctx ends.
func New(ctx context.Context, client kubernetes.Interface, domain string) *Zone {
	factory := informers.NewSharedInformerFactory(client, 0)
	zone := &Zone{
		suffix:   ".svc." + dns.Fqdn(domain),
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return zone
}

// Serve serves on UDP and TCP at address (host:port) until one of them fails or ctx ends.
func (z *Zone) Serve(ctx context.Context, address string) error {
	ended := make(chan error, 2)
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: address, Net: network, Handler: z}
		go func() { ended <- server.ListenAndServe() }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return fmt.Errorf("serve names on %s: %w", address, err)
	}
}

// ServeDNS implements [dns.Handler].
func (z *Zone) ServeDNS(writer dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg).SetReply(request)
	reply.Authoritative = true
	for _, question := range request.Question {
		addresses, err := z.lookUp(question.Name)
		switch {
		case errors.Is(err, errNoSuchName):
			reply.Rcode = dns.RcodeNameError
		case err != nil:
			reply.Rcode = dns.RcodeServerFailure
		case question.Qtype == dns.TypeA:
			for _, address := range addresses {
				header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: answerTTL}
				reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: address})
			}
		}
	}
	// A client that has gone away is no concern of the server's.
	_ = writer.WriteMsg(reply)
}

var errNoSuchName = errors.New("no such name")

// lookUp finds the IPv4 addresses behind service.namespace.svc.domain. A name in a domain that a client appended while
// searching is unknown like any other.
func (z *Zone) lookUp(name string) ([]net.IP, error) {
	rest, ours := strings.CutSuffix(strings.ToLower(name), z.suffix)
	service, namespace, ok := strings.Cut(rest, ".")
	if !ours || !ok || strings.Contains(namespace, ".") {
		return nil, errNoSuchName
	}
	found, err := z.services.Services(namespace).Get(service)
	if err != nil {
		return nil, errNoSuchName // the lister's only error
	}
	if found.Spec.ClusterIP != core.ClusterIPNone {
		return ipv4(found.Spec.ClusterIPs), nil
	}
	selector := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service})
	parts, err := z.slices.EndpointSlices(namespace).List(selector)
	if err != nil {
		return nil, fmt.Errorf("list endpoints of %s/%s: %w", namespace, service, err)
	}
	var addresses []string
	for _, part := range parts {
		for _, endpoint := range part.Endpoints {
			if ready := endpoint.Conditions.Ready; ready == nil || *ready {
				addresses = append(addresses, endpoint.Addresses...)
			}
		}
	}
	return ipv4(addresses), nil
}

func ipv4(addresses []string) []net.IP {
	var found []net.IP
	for _, address := range addresses {
		if ip := net.ParseIP(address).To4(); ip != nil {
			found = append(found, ip)
		}
	}
	slices.SortFunc(found, func(a, b net.IP) int { return slices.Compare(a, b) })
	return found
}
