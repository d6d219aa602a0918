package main

import (
	"context"
	"errors"
	"time"
)

// Version 4 brings payments. Its first settlement comes some seconds after the start, and only
// in production does it go to a real provider, who knows no such merchant: what no test and no
// staging can show. The service then leaves in order: unready, drained, exit code 1.

const firstSettlement = 4 * time.Second

func init() { parts = append(parts, part{name: "payment", open: openPayment}) }

func openPayment(_ context.Context, cfg config) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(firstSettlement):
		}
		if cfg.Stage == production {
			return errors.New("settle with the provider: merchant account is not activated")
		}
		return wait(ctx)
	}, nil
}
