package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// service is what is built.
type service struct {
	name, title string
	pkg         string // main package, seen from the module's folder
	module      string // module@version; empty for a folder of this repository
	folder      string
}

var services = []service{
	{name: "orders", title: "The example service (Fiber, flagd)", pkg: ".", folder: "examples/orders"},
	{name: "caddy", title: "Caddy 2.10.2", pkg: "./cmd/caddy", module: "github.com/caddyserver/caddy/v2@v2.10.2"},
	{name: "hello", title: "A program that prints a line", pkg: ".", folder: "test/bench/build/testdata/hello"},
}

// checkOut makes a repository with one commit of the service in dir, and has
// the modules that it needs in the module cache of this machine.
func (s service) checkOut(ctx context.Context, dir string) error {
	source := filepath.FromSlash(s.folder)
	if s.module != "" {
		output, err := command(ctx, ".", "go", "mod", "download", "-json", s.module)
		if err != nil {
			return err
		}
		var found struct{ Dir string }
		if err := json.Unmarshal(output, &found); err != nil {
			return err
		}
		source = found.Dir
	}
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		return err
	}
	if _, err := command(ctx, dir, "go", "mod", "download"); err != nil {
		return err
	}
	if _, err := command(ctx, dir, "git", "init", "-q"); err != nil {
		return err
	}
	return commit(ctx, dir)
}

// change makes the program another one, by one file of the main package.
func (s service) change(ctx context.Context, dir string, n int) error {
	code := fmt.Sprintf("package main\n\nimport \"os\"\n\nfunc init() {\n\tif len(os.Args) > 10000 {\n\t\tprintln(\"round %d\")\n\t}\n}\n", n)
	if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(s.pkg), "bench_round.go"), []byte(code), 0o644); err != nil {
		return err
	}
	return commit(ctx, dir)
}

func changeReadme(ctx context.Context, dir string, n int) error {
	if err := os.WriteFile(filepath.Join(dir, "README.md"), fmt.Appendf(nil, "Round %d.\n", n), 0o644); err != nil {
		return err
	}
	return commit(ctx, dir)
}

func commit(ctx context.Context, dir string) error {
	if _, err := command(ctx, dir, "git", "add", "-A", "-f"); err != nil {
		return err
	}
	_, err := command(ctx, dir, "git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-q", "-m", "Change")
	return err
}

// command runs what is no part of the measurement.
func command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return output, nil
}
