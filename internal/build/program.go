package build

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fibership/fibership/internal/gobuild"
	"github.com/fibership/fibership/internal/image"
)

// program compiles for target, straight into a layer.
func (b *Build) program(ctx context.Context, main gobuild.Main, target gobuild.Target) (image.Layer, error) {
	dir, err := os.MkdirTemp(b.Scratch, "compile-")
	if err != nil {
		return image.Layer{}, err
	}
	defer os.RemoveAll(dir) // a binary is large, and is in its layer
	binary := filepath.Join(dir, "program")
	b.Log.Linef("compiling for %s", target)
	if err := b.Compile(ctx, target, binary); err != nil {
		return image.Layer{}, err
	}
	if b.Base == nil {
		if err := selfContained(binary); err != nil {
			return image.Layer{}, err
		}
	}
	entry, err := image.Binary(binary, path.Join(home, main.Name))
	if err != nil {
		return image.Layer{}, err
	}
	layer, err := image.Write(b.Scratch, "program", []image.Entry{entry})
	if err != nil {
		return image.Layer{}, err
	}
	b.Log.Linef("compiled for %s: %s, %s compressed", target, bytesize(entry.Size), bytesize(layer.Bytes()))
	return layer, nil
}

// DynamicError is a program that needs a loader which the built-in root file
// system does not have: it would not start.
type DynamicError struct{ Loader string }

func (e *DynamicError) Error() string {
	return fmt.Sprintf("the program is linked dynamically: it needs %s, which the built-in root file system does not have", e.Loader)
}

// Next tells the two ways out.
func (e *DynamicError) Next() string {
	return "set CGO_ENABLED=0, or give a base-image with a C library"
}

// selfContained refuses a dynamic program. What is no ELF, such as WebAssembly, is
// not for us to judge.
func selfContained(file string) error {
	program, err := elf.Open(file)
	if err != nil {
		return nil //nolint:nilerr // no ELF
	}
	defer program.Close()
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_INTERP {
			loader, err := io.ReadAll(io.LimitReader(segment.Open(), 256))
			return errors.Join(err, &DynamicError{strings.TrimRight(string(loader), "\x00")})
		}
	}
	return nil
}

// SecretError is a file with secrets that would be shipped within the program.
type SecretError struct{ File string }

func (e *SecretError) Error() string {
	return fmt.Sprintf("%s holds secrets, and a go:embed pattern takes it into the program", e.File)
}

// Next tells the two ways out.
func (e *SecretError) Next() string {
	return "narrow the go:embed pattern, or have the file written outside of the repository"
}

// embeds refuses a program that carries what an image must never hold.
func (b *Build) embeds(ctx context.Context, target gobuild.Target) error {
	files, err := b.Embeds(ctx, target)
	if err != nil {
		return err
	}
	for _, file := range files {
		if image.Secret(file) {
			return &SecretError{file}
		}
	}
	return nil
}
