// Package internal holds one test: that imports run down only.
package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fibership/fibership/"

// floors are the packages from the ground up. A package may import what lies
// below its own floor; on one floor, only what beside names.
var floors = [][]string{
	{"internal/progress", "internal/analysis", "internal/release", "internal/image", "internal/flags"},
	{"internal/gobuild", "internal/registry", "internal/ecr", "internal/cluster", "internal/manifests", "internal/history", "internal/rollout", "internal/jobs", "internal/preflight", "internal/traffic", "internal/metrics", "internal/load", "internal/github", "internal/veil"},
	{"internal/build", "internal/deploy", "internal/promote"},
	{"cmd"},
}

// beside are the imports within a floor, each with a reason.
var beside = map[string][]string{
	"internal/release":   {"internal/analysis"}, // a record keeps its checks
	"internal/analysis":  {},
	"internal/history":   {"internal/cluster"}, // every way into the cluster is the client's
	"internal/rollout":   {"internal/cluster"},
	"internal/jobs":      {"internal/cluster", "internal/manifests", "internal/rollout"},
	"internal/preflight": {"internal/cluster", "internal/manifests"},
	"internal/traffic":   {"internal/cluster"},
	"internal/manifests": {},
	"internal/veil":      {"internal/manifests"}, // pods name the Secrets that they are given
	"internal/promote":   {"internal/deploy"},    // a promotion is a deploy with a walk before it
}

// edge is the one package that only cmd may import.
const edge = "internal/action"

func TestImports_runDownOnly(t *testing.T) {
	t.Parallel()
	seen := 0
	for pkg, imports := range listed(t) {
		if strings.HasPrefix(pkg, "internal/testcluster") || strings.HasPrefix(pkg, "test/") || strings.HasPrefix(pkg, edge+"/") || pkg == "internal" {
			continue // for tests
		}
		seen++
		for _, imported := range imports {
			if reason := wrong(pkg, imported); reason != "" {
				t.Errorf("%s → %s: %s", pkg, imported, reason)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d packages were looked at", seen)
	}
}

func TestWrong_knowsEveryWrongWay(t *testing.T) {
	t.Parallel()
	for chain, bad := range map[[2]string]bool{
		{"cmd/promote", "internal/promote"}:        false,
		{"cmd/promote", edge}:                      false,
		{"internal/promote", edge}:                 true,
		{"internal/promote", "internal/deploy"}:    false,
		{"internal/deploy", "internal/promote"}:    true,
		{"internal/release", "internal/deploy"}:    true,
		{"internal/metrics", "internal/load"}:      true,
		{"internal/metrics", "internal/release"}:   false,
		{edge, "internal/progress"}:                false,
		{edge, "internal/release"}:                 true,
		{"internal/deploy", "cmd/internal/target"}: true,
	} {
		if got := wrong(chain[0], chain[1]) != ""; got != bad {
			t.Errorf("%s → %s: wrong is %v, want %v", chain[0], chain[1], got, bad)
		}
	}
}

// wrong says what is wrong with an import, "" if nothing.
func wrong(pkg, imported string) string {
	switch {
	case pkg == edge && imported != "internal/progress":
		return "the edge knows only progress"
	case pkg == edge:
		return ""
	case imported == edge && floor(pkg) != len(floors)-1:
		return "only cmd knows the edge"
	case imported == edge:
		return ""
	}
	from, to := floor(pkg), floor(imported)
	switch {
	case from < 0:
		return pkg + " has no floor in floors_test.go"
	case to < 0:
		return imported + " has no floor in floors_test.go"
	case to > from:
		return "imports run down only"
	case to == from && from != len(floors)-1 && !slices.Contains(beside[pkg], imported):
		return "the same floor, and not among those beside"
	}
	return ""
}

func floor(pkg string) int {
	for i, packages := range floors {
		for _, p := range packages {
			if pkg == p || p == "cmd" && strings.HasPrefix(pkg, "cmd/") {
				return i
			}
		}
	}
	return -1
}

// listed gives each package of the module with those of the module that it
// imports, test files left out.
func listed(t *testing.T) map[string][]string {
	t.Helper()
	touch(t)
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "../...").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		var own []string
		for _, i := range p.Imports {
			if name, ok := strings.CutPrefix(i, module); ok {
				own = append(own, name)
			}
		}
		found[strings.TrimPrefix(p.ImportPath, module)] = own
	}
}

// touch looks at every source file, so that a cached result of this test ends
// with the sources that it was made from.
func touch(t *testing.T) {
	t.Helper()
	for _, root := range []string{".", "../cmd", "../test"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
