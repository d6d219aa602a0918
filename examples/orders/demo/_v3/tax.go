package main

import (
	"context"
	"log/slog"
)

// Version 3 brings taxes, and a mistake that its tests do not see: there is a region for the
// developer's machine and for no other stage, so it crashes wherever it is deployed.

type region struct{ country string }

var regions = map[stage]*region{development: {country: "PT"}}

func init() { parts = append(parts, part{name: "tax", open: openTax}) }

func openTax(_ context.Context, cfg config) (func(context.Context) error, error) {
	here := regions[cfg.Stage]
	slog.Info("tax region", "country", here.country)
	return wait, nil
}
