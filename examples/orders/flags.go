package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	flagd "github.com/open-feature/go-sdk-contrib/providers/flagd/pkg"
	"github.com/open-feature/go-sdk/openfeature"
)

// The flags, each with what it gives where it cannot be read.
const (
	newCheckout = "new-checkout" // false; true opens the express checkout
	payment     = "payment"      // house; who takes the money
)

// The providers of payments. Faulty is one that refuses every order: it shows what becomes of a
// flag that should not have been opened.
const (
	house  = "house"
	faulty = "faulty"
)

// flags asks OpenFeature, so that the code does not depend on who answers.
type flags struct{ client *openfeature.Client }

func newFlags() flags { return flags{client: openfeature.NewClient("orders")} }

// express says whether this customer has the new checkout. The key decides on which side of a
// percentage it falls, so the same key gets the same answer from every pod.
func (f flags) express(ctx context.Context, key string) bool {
	return f.client.Boolean(ctx, newCheckout, false, openfeature.NewEvaluationContext(key, nil))
}

// provider says who takes this customer's money.
func (f flags) provider(ctx context.Context, key string) string {
	return f.client.String(ctx, payment, house, openfeature.NewEvaluationContext(key, nil))
}

// openFlags lets flagd's in-process provider answer from FlagsFile and follow it: the kubelet
// swaps a mounted ConfigMap in place, so a flag opens or closes without a restart. A file that
// turns unreadable later leaves the flags as they are.
func openFlags(ctx context.Context, cfg config) (func(context.Context) error, error) {
	if cfg.FlagsFile == "" {
		return wait, nil // OpenFeature's no-op provider gives every flag its default
	}
	file, err := filepath.Abs(cfg.FlagsFile)
	if err != nil {
		return nil, fmt.Errorf("find the flag file: %w", err)
	}
	switch _, err := os.ReadFile(file); { //nolint:gosec // the path is the operator's own
	case errors.Is(err, fs.ErrNotExist):
		slog.Warn("no flag file: every flag has its default until the next start", "file", file)
		return wait, nil
	case err != nil:
		return nil, fmt.Errorf("read the flag file: %w", err)
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
