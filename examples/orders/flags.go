package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	flagd "github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk/openfeature"
)

// newCheckout opens the express checkout. A flag that cannot be read is closed.
const newCheckout = "new-checkout"

// flags asks OpenFeature, so that the code does not depend on who answers.
type flags struct{ client *openfeature.Client }

func newFlags() flags { return flags{client: openfeature.NewClient("orders")} }

// express says whether this customer has the new checkout. The key decides on which side of a
// percentage it falls, so the same key gets the same answer from every pod.
func (f flags) express(ctx context.Context, key string) bool {
	return f.client.Boolean(ctx, newCheckout, false, openfeature.NewEvaluationContext(key, nil))
}

// openFlags lets flagd's in-process provider answer from FLAGS_FILE and follow it: the kubelet
// swaps a mounted ConfigMap in place, so a flag opens or closes without a restart. A file that
// turns unreadable later leaves the flags as they are.
func openFlags(ctx context.Context, cfg config) (func(context.Context) error, error) {
	if cfg.FlagsFile == "" {
		return wait, nil // OpenFeature's no-op provider gives every flag its default
	}
	file, err := filepath.Abs(cfg.FlagsFile)
	if err != nil {
		return nil, fmt.Errorf("find FLAGS_FILE: %w", err)
	}
	if _, err := os.ReadFile(file); err != nil { //nolint:gosec // the path is the operator's own
		return nil, fmt.Errorf("read FLAGS_FILE: %w", err)
	}
	provider, err := flagd.NewProvider(flagd.WithFileResolver(), flagd.WithOfflineFilePath(file))
	if err != nil {
		return nil, fmt.Errorf("make the flagd provider: %w", err)
	}
	openfeature.AddHandler(openfeature.ProviderConfigChange, &flagsRead)
	openfeature.AddHandler(openfeature.ProviderError, &flagsBroken)
	if err := openfeature.SetProviderWithContextAndWait(ctx, provider); err != nil {
		return nil, fmt.Errorf("read flags from %s: %w", file, err)
	}
	return func(ctx context.Context) error {
		<-ctx.Done()
		openfeature.Shutdown()
		return nil
	}, nil
}

// OpenFeature keeps handlers by their address, so these are variables.
var (
	flagsRead = func(e openfeature.EventDetails) {
		if len(e.FlagChanges) > 0 {
			slog.Info("flags read", "changed", e.FlagChanges)
		}
	}
	flagsBroken = func(e openfeature.EventDetails) {
		slog.Error("flags not read: those read before stay in force", "error", e.Message)
	}
)

func wait(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
