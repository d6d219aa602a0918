package gobuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A repository beyond these is not hashed for its tests' sake: that would take
// longer than it may save.
const (
	maxSuiteFiles = 100_000
	maxSuiteBytes = 512 << 20
)

// places are variables that say where something may lie, or whose it is: another
// runner has others, and no outcome depends on it.
var places = []string{
	"HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOCACHE", "GOMODCACHE", "GOPATH", "GOBIN",
	"GOENV", "GOROOT", "GOTMPDIR", "GOWORK", "NETRC",
}

// SuiteFingerprint hashes what the suite's outcome may depend on: every file
// of the repository, since a test may read any of it, beside what Fingerprint
// hashes of settings, the suite's flags and variables, and all that tests see of
// the job's but what is only a place. What lies outside, such as the time, is
// not told by it; a suite that says so has none.
func (t *Toolchain) SuiteFingerprint(ctx context.Context, suite Suite) (string, error) {
	if suite.Outside {
		return "", fmt.Errorf("%w: the tests are given variables of the job", ErrUnknowable)
	}
	env, err := t.settings(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	dir, err := filepath.Rel(t.source.Workspace, t.source.Dir)
	if err != nil {
		return "", err
	}
	note(sum, "fibership tests 2", dir, strings.Join(t.source.Tags, ","), fmt.Sprint(suite.MinCoverage))
	for _, list := range [][]string{suite.Packages, suite.Flags, suite.Environ} {
		note(sum, fmt.Sprint(len(list)))
		note(sum, list...)
	}
	for _, name := range settingNames {
		if name != "GOMODCACHE" && name != "GOWORK" && name != "GOROOT" {
			note(sum, name, env[name])
		}
	}
	for _, pair := range slices.Sorted(slices.Values(t.environ)) {
		if name, _, _ := strings.Cut(pair, "="); !slices.Contains(places, name) {
			note(sum, "variable", pair)
		}
	}
	files, size := 0, int64(0)
	err = filepath.WalkDir(t.source.Workspace, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(t.source.Workspace, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || cached(rel)) {
			return fs.SkipDir
		}
		switch {
		case d.IsDir():
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			note(sum, "link", rel, link)
			return err
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files, size = files+1, size+info.Size()
		if files > maxSuiteFiles || size > maxSuiteBytes {
			return fmt.Errorf("%w: the repository is too large", ErrUnknowable)
		}
		content, err := hashFile(path)
		note(sum, "file", rel, fmt.Sprint(info.Mode()&0o111 != 0), content)
		return err
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
