package image

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestGather_leavesOutSecretsAndCaches(t *testing.T) {
	workspace := t.TempDir()
	for _, name := range []string{
		"main.go", ".git/config", ".fibership-cache/modules/m.zip", "deploy/prod-kubeconfig.yaml", "internal/kubeconfig/load.go", "sub/.fibership-cache/x",
	} {
		file := filepath.Join(workspace, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var skipped, shipped []string
	entries, err := Gather(workspace, workspace, Inclusion{Source: ".", Target: "/x"}, func(path string) { skipped = append(skipped, path) })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Mode.IsDir() {
			shipped = append(shipped, e.Path)
		}
	}
	if want := []string{".fibership-cache", ".git", "deploy/prod-kubeconfig.yaml"}; !slices.Equal(skipped, want) {
		t.Errorf("left out %v, want %v", skipped, want)
	}
	if want := []string{"/x/internal/kubeconfig/load.go", "/x/main.go", "/x/sub/.fibership-cache/x"}; !slices.Equal(shipped, want) {
		t.Errorf("shipped %v, want %v", shipped, want)
	}
}
