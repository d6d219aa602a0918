// Command orders is a small shop: it takes orders over HTTP and shows them. It is an example
// of a service that can be replaced, at any moment and under load, without losing a request.
//
// What it sells and how an order is checked is in internal/orders; this package is the
// process around it: configuration, HTTP, health, metrics, flags and the orderly end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/caarlos0/env/v11"
)

// version is the build's own name: what -ldflags "-X main.version=…" says, else what the Go
// command stamped, else "dev".
var version string

func init() {
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		version = info.Main.Version
	}
	if version == "" || version == "(devel)" {
		version = "dev"
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	if err := start(ctx, env.ToMap(os.Environ()), os.Stdout); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

// start runs the service as the environment says until ctx ends. It returns nil only when the
// service was told to end and lost nothing on the way.
func start(ctx context.Context, environ map[string]string, logs io.Writer) error {
	logger := slog.New(slog.NewJSONHandler(logs, nil))
	slog.SetDefault(logger)
	cfg, err := loadConfig(environ)
	if err != nil {
		return err
	}
	logger = slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: cfg.LogLevel})).
		With("release", release, "version", version, "stage", cfg.Stage)
	slog.SetDefault(logger)

	// Without a host it listens on IPv4 and IPv6.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf(":%d", cfg.Port))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	service, err := newService(cfg, logger)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return service.run(ctx, listener)
}
