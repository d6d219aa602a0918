package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/fibership/fibership/test/bench/stage"
)

// requests counts what releases of many objects cost each tool.
func (b *bench) requests(ctx context.Context, sizes []int) (string, error) {
	var text strings.Builder
	text.WriteString("### Requests to the API server\n\nA Deployment, its ConfigMap and its Service, and for the rest ConfigMaps, Secrets and ServiceAccounts; each changed one differs in one field. Watches, and what is asked while waiting, count as well.\n\n")
	text.WriteString("| | objects | created | unchanged | changed |\n|---|---:|---:|---:|---:|\n")
	for _, n := range sizes {
		if err := b.within(ctx, func(p *place) error {
			fmt.Fprintf(&text, "| %s | %d |", p.tool.name, n)
			for _, words := range []string{"one", "one", "two"} {
				if err := p.Write(many(p.Images[0], words, n)); err != nil {
					return err
				}
				before := p.proxy.Requests()
				if _, err := p.tool.deploy(ctx, p, p.Images[0], patience); err != nil {
					return err
				}
				fmt.Fprintf(&text, " %d |", p.proxy.Requests()-before)
			}
			text.WriteString("\n")
			fmt.Fprintf(os.Stderr, "requests for %d objects: %s\n", n, p.tool.name)
			return nil
		}); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

// many is the service with others around it: n objects in all.
func many(image, words string, n int) string {
	var text strings.Builder
	text.WriteString(stage.Web{Image: image, Greet: words}.Manifests())
	for i := range n - 3 {
		switch i % 5 {
		case 0, 1, 2:
			fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: map-%d}\ndata: {text: %q}\n", i, words)
		case 3:
			fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: secret-%d}\nstringData: {text: %q}\n", i, words)
		default:
			fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: account-%d, annotations: {text: %q}}\n", i, words)
		}
	}
	return text.String()
}
