package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fibership/fibership/test/bench/stage"
	"github.com/fibership/fibership/test/kill"
)

// place is one tool's own, with its own way to the API server, which counts.
type place struct {
	*stage.Place
	tool  tool
	proxy *kill.Proxy
}

func (b *bench) newPlace(ctx context.Context, t tool) (*place, error) {
	at, err := b.NewPlace(ctx)
	if err != nil {
		return nil, err
	}
	p := &place{Place: at, tool: t}
	if err := p.count(); err != nil {
		return nil, errors.Join(err, p.Remove(ctx))
	}
	return p, nil
}

// count leads the place's programs through its proxy.
func (p *place) count() (err error) {
	if p.proxy, err = kill.StartProxy(p.Client.REST, kill.Point{}); err != nil {
		return err
	}
	content, err := p.proxy.Kubeconfig()
	if err != nil {
		return err
	}
	p.Kubeconfig = filepath.Join(p.Folder, "kubeconfig")
	return os.WriteFile(p.Kubeconfig, []byte(content), 0o600)
}

// Remove also ends the proxy.
func (p *place) Remove(ctx context.Context) error {
	if p.proxy != nil {
		_ = p.proxy.Close()
	}
	return p.Place.Remove(ctx)
}

// within gives a place of its own to each tool, in turn, for work.
func (b *bench) within(ctx context.Context, work func(*place) error) error {
	for _, t := range tools {
		p, err := b.newPlace(ctx, t)
		if err == nil {
			err = errors.Join(work(p), p.Remove(ctx))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}
