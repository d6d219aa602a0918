package image

import (
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

// A binary of 100 MB must not be held in memory on its way to the layer.
func TestWrite_needsNoMoreMemoryForMoreBytes(t *testing.T) {
	const size = 100 << 20
	content := func() (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{1}), size)), nil
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	layer, err := Write(t.TempDir(), "program", []Entry{{Path: "/app/program", Mode: 0o755, Size: size, Open: content}})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if layer.Bytes() < size/2 {
		t.Fatalf("random bytes were compressed to %d", layer.Bytes())
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 64<<20 {
		t.Errorf("%d MB of memory for %d MB", grown>>20, size>>20)
	} else {
		t.Logf("%.1f MB of memory for %d MB", float64(grown)/(1<<20), size>>20)
	}
}
