package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v3"
)

// phase is where the service stands in its life. The zero value takes no traffic.
type phase int32

const (
	starting phase = iota
	ready
	draining
)

func (p phase) String() string {
	return [...]string{"starting", "ready", "draining"}[p]
}

// lifecycle holds the current phase, for the requests that ask for it.
type lifecycle struct{ current atomic.Int32 }

func (l *lifecycle) phase() phase   { return phase(l.current.Load()) }
func (l *lifecycle) enter(to phase) { l.current.Store(int32(to)) }

// A part is what the service needs beside its HTTP server. open runs before the service gets
// ready; what it returns runs beside the requests, until the last of them is answered. A part
// that fails takes the service down in order: unready first, then drained, then an exit code.
type part struct {
	name string
	open func(ctx context.Context, cfg config) (run func(ctx context.Context) error, err error)
}

// parts are opened in this order.
var parts = []part{{name: "flags", open: openFlags}}

// run serves on the listener until ctx ends or a part fails, then drains. Its error is nil
// only if every part ran well and every request was answered.
func (s *service) run(ctx context.Context, listener net.Listener) error {
	// Parts outlive the signal: the last requests still need them.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	failed := make(chan error, len(parts)+1)
	begin := func(name string, run func() error) {
		running.Go(func() {
			if err := run(); err != nil {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}

	// Listening comes first, so that probes get an answer while parts open.
	app := s.app()
	begin("http", func() error {
		return app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true})
	})
	s.log.Info("listening", "address", listener.Addr().String())

	cause := s.open(ctx, beside, begin)
	if cause == nil {
		s.lifecycle.enter(ready)
		s.log.Info("ready")
		select {
		case <-ctx.Done():
			s.log.Info("told to end", "reason", context.Cause(ctx).Error())
		case cause = <-failed:
			s.log.Error("ending on a failure", "error", cause)
		}
		s.drain()
	}

	if err := s.shutdown(context.WithoutCancel(ctx), app); err != nil {
		return errors.Join(cause, err)
	}
	_ = listener.Close() // for a server that was told to end before it began to serve
	stop()
	running.Wait() // not deferred: a panic has to end the process, not wait for it
	if cause == nil {
		s.log.Info("ended well")
	}
	return cause
}

// open opens every part and begins to run it.
func (s *service) open(ctx, beside context.Context, begin func(string, func() error)) error {
	for _, p := range parts {
		run, err := p.open(ctx, s.cfg)
		if err != nil {
			return fmt.Errorf("open %s: %w", p.name, err)
		}
		begin(p.name, func() error { return run(beside) })
	}
	return nil
}

// drain serves on while the rest of the world learns that this pod is leaving. From here on
// /readyz says 503, and every answer asks its client to open its next connection elsewhere:
// a Service balances connections, not requests, so a kept one would lead back here.
func (s *service) drain() {
	s.lifecycle.enter(draining)
	s.log.Info("draining", "delay", s.cfg.DrainDelay.String())
	time.Sleep(s.cfg.DrainDelay)
}

// shutdown closes the listener and waits for the requests in flight.
func (s *service) shutdown(ctx context.Context, app *fiber.App) error {
	s.lifecycle.enter(draining)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ShutdownTimeout)
	defer cancel()
	if err := app.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("requests were still in flight after %s: %w", s.cfg.ShutdownTimeout, err)
	}
	return nil
}
