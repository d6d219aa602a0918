package main

import (
	"context"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/fibership/fibership/test/cluster/nameserver"
)

// newDNSCommand is the cluster's name server.
func newDNSCommand() *cobra.Command {
	var kubeconfig, address, domain string
	command := &cobra.Command{
		Use:           "cluster-dns",
		Short:         "Answer for the names of services",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := newClient(kubeconfig)
			if err != nil {
				return err
			}
			return nameserver.New(command.Context(), client, domain).Serve(command.Context(), address)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "path of a kubeconfig that may list services and endpoint slices")
	command.Flags().StringVar(&address, "listen", "", "host:port for UDP and TCP")
	command.Flags().StringVar(&domain, "domain", "cluster.local", "the cluster's domain")
	return command
}

// waitForName asks the name server until it answers with an address.
func waitForName(ctx context.Context, server, name string) error {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	client := &dns.Client{Timeout: time.Second}
	return until(ctx, name+" resolves", func(ctx context.Context) (bool, error) {
		answer, _, err := client.ExchangeContext(ctx, query, server)
		return err == nil && len(answer.Answer) > 0, nil
	})
}
