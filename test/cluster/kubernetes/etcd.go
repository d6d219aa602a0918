package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// newEtcdCommand is a single etcd member for a cluster that does not outlive a reboot: it never syncs to disk.
// etcd's own main package is not built to be linked into another, hence these three flags instead of all of its own.
func newEtcdCommand() *cobra.Command {
	var dir, clientURL, peerURL string
	command := &cobra.Command{
		Use:           "etcd",
		Short:         "One etcd member without durability",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := etcdConfig(dir, clientURL, peerURL)
			if err != nil {
				return err
			}
			etcd, err := embed.StartEtcd(config)
			if err != nil {
				return fmt.Errorf("start etcd: %w", err)
			}
			defer etcd.Close()
			select {
			case <-command.Context().Done():
				return nil
			case err := <-etcd.Err():
				return fmt.Errorf("run etcd: %w", err)
			}
		},
	}
	command.Flags().StringVar(&dir, "data-dir", "", "folder that holds the data")
	command.Flags().StringVar(&clientURL, "listen-client-urls", "http://127.0.0.1:2379", "address for clients")
	command.Flags().StringVar(&peerURL, "listen-peer-urls", "http://127.0.0.1:2380", "address for other members")
	return command
}

func etcdConfig(dir, clientURL, peerURL string) (*embed.Config, error) {
	client, err := url.Parse(clientURL)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(peerURL)
	if err != nil {
		return nil, err
	}
	config := embed.NewConfig()
	config.Dir = dir
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.LogLevel = "warn"
	config.UnsafeNoFsync = true
	// A lone member waits out one election time-out before it serves: keep that short.
	config.TickMs, config.ElectionMs = 50, 250
	return config, nil
}
