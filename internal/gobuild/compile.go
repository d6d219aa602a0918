package gobuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fibership/fibership/internal/progress"
)

// CompileError is code that does not compile.
type CompileError struct {
	Package string
	Target  Target
	Output  string
	notes   []progress.Annotation
}

func (e *CompileError) Error() string {
	first := ""
	if len(e.notes) > 0 {
		first = fmt.Sprintf(": %s:%d: %s", e.notes[0].File, e.notes[0].Line, e.notes[0].Message)
	}
	return fmt.Sprintf("package %s does not compile for %s%s", e.Package, e.Target, first)
}

// Annotations puts the compiler's messages at their lines.
func (e *CompileError) Annotations() []progress.Annotation { return e.notes }

// Next tells where to look.
func (e *CompileError) Next() string {
	next := fmt.Sprintf("see the marked lines; GOOS=%s GOARCH=%s go build %s shows the same", e.Target.OS, e.Target.Arch, e.Package)
	for _, missing := range []string{"no matching files found", "no required module provides package", "is not in std"} {
		if strings.Contains(e.Output, missing) {
			return next + "; what go generate makes must be committed, or made by a step before this one"
		}
	}
	return next
}

// Compile writes the source's binary for target to the file out. The same
// source gives the same bytes in any folder: paths are trimmed, and neither
// revision nor build ID is stamped.
func (t *Toolchain) Compile(ctx context.Context, target Target, out string) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fibership-compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := t.own(dir); err != nil {
		return err
	}
	program := filepath.Join(dir, "program")
	var output bytes.Buffer
	cmd := t.command(ctx, target.environ(), append(t.buildArgs(), "-o", program, t.source.Package)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err = cmd.Run(); err == nil {
		return t.take(program, out)
	}
	var exit *exec.ExitError
	if ctx.Err() == nil && errors.As(err, &exit) && !private(output.String()) {
		if notes := t.compilerNotes(output.String()); len(notes) > 0 {
			_, _ = t.log.Foreign().Write(output.Bytes())
			return &CompileError{Package: t.source.Package, Target: target, Output: clip(output.String(), 1<<16), notes: notes}
		}
	}
	return t.failure(ctx, "build", output.String(), err)
}

// take moves what was compiled to where only we can change it, and then makes
// sure of what it is.
func (t *Toolchain) take(program, out string) error {
	if err := os.Rename(program, out); err != nil {
		return err
	}
	file, err := t.regular(out)
	if err != nil {
		return err
	}
	return file.Close()
}

// buildArgs are those of go build that come from us and from the inputs. Ours
// stand last where a flag holds only once, but the linker's, which add up.
func (t *Toolchain) buildArgs() []string {
	args := append([]string{"build"}, t.source.Flags...)
	args = append(args, t.tagFlags()...)
	return append(args, "-trimpath", "-buildvcs=false", "-ldflags="+strings.TrimSpace("-s -w -buildid= "+t.source.LDFlags))
}
