package nameserver

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func newZone(t *testing.T) *Zone {
	t.Helper()
	service := func(name string, addresses ...string) *core.Service {
		return &core.Service{
			ObjectMeta: meta.ObjectMeta{Namespace: "staging", Name: name},
			Spec:       core.ServiceSpec{ClusterIP: addresses[0], ClusterIPs: addresses},
		}
	}
	ready, unready := true, false
	endpoints := &discovery.EndpointSlice{
		ObjectMeta:  meta.ObjectMeta{Namespace: "staging", Name: "peers-1", Labels: map[string]string{discovery.LabelServiceName: "peers"}},
		AddressType: discovery.AddressTypeIPv4,
		Endpoints: []discovery.Endpoint{
			{Addresses: []string{"10.89.0.4"}, Conditions: discovery.EndpointConditions{Ready: &ready}},
			{Addresses: []string{"10.89.0.3"}},
			{Addresses: []string{"10.89.0.5"}, Conditions: discovery.EndpointConditions{Ready: &unready}},
		},
	}
	client := fake.NewClientset(service("orders", "10.96.0.7", "fd00::7"), service("peers", core.ClusterIPNone), endpoints)
	return New(t.Context(), client, "cluster.local")
}

// ask sends the question over UDP to a server of the zone.
func ask(t *testing.T, zone *Zone, name string, kind uint16) *dns.Msg {
	t.Helper()
	connection, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: connection, Handler: zone}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.ShutdownContext(context.WithoutCancel(t.Context())) })
	client := &dns.Client{Timeout: 10 * time.Second}
	answer, _, err := client.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(name, kind), connection.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestZone_answers(t *testing.T) {
	zone := newZone(t)
	for _, test := range []struct {
		name  string
		kind  uint16
		rcode int
		want  []string
	}{
		{"orders.staging.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"10.96.0.7"}},
		{"ORDERS.Staging.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"10.96.0.7"}},
		{"peers.staging.svc.cluster.local.", dns.TypeA, dns.RcodeSuccess, []string{"10.89.0.3", "10.89.0.4"}},
		// The name exists, without records of this kind: an empty answer, or else resolvers give up on the A record too.
		{"orders.staging.svc.cluster.local.", dns.TypeAAAA, dns.RcodeSuccess, nil},
		{"orders.production.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"web.orders.staging.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"orders.staging.svc.cluster.local.staging.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"example.com.", dns.TypeA, dns.RcodeNameError, nil},
	} {
		t.Run(dns.TypeToString[test.kind]+" "+test.name, func(t *testing.T) {
			answer := ask(t, zone, test.name, test.kind)
			var got []string
			for _, record := range answer.Answer {
				got = append(got, record.(*dns.A).A.String())
			}
			if answer.Rcode != test.rcode || !slices.Equal(got, test.want) {
				t.Errorf("got %s %v, want %s %v", dns.RcodeToString[answer.Rcode], got, dns.RcodeToString[test.rcode], test.want)
			}
		})
	}
}
