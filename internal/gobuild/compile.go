package gobuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
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
	return fmt.Sprintf("see the marked lines; GOOS=%s GOARCH=%s go build %s shows the same", e.Target.OS, e.Target.Arch, e.Package)
}

// Compile writes the source's binary for target to the file out. The same
// source gives the same bytes in any folder: paths are trimmed, and neither
// revision nor build ID is stamped.
func (t *Toolchain) Compile(ctx context.Context, target Target, out string) error {
	var output bytes.Buffer
	cmd := t.command(ctx, target.environ(), append(t.buildArgs(), "-o", out, t.source.Package)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if ctx.Err() == nil && errors.As(err, &exit) {
		if notes := t.compilerNotes(output.String()); len(notes) > 0 {
			_, _ = t.log.Foreign().Write(output.Bytes())
			return &CompileError{Package: t.source.Package, Target: target, Output: clip(output.String(), 1<<16), notes: notes}
		}
	}
	return t.failure(ctx, "build", output.String(), err)
}

// buildArgs are those of go build that come from us and from the inputs. Ours
// stand last where a flag holds only once, but the linker's, which add up.
func (t *Toolchain) buildArgs() []string {
	args := append([]string{"build"}, t.source.Flags...)
	args = append(args, t.tagFlags()...)
	return append(args, "-trimpath", "-buildvcs=false", "-ldflags="+strings.TrimSpace("-s -w -buildid= "+t.source.LDFlags))
}
