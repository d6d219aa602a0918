package build

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/licensecheck"
)

// licenses are those whose text alone tells the SPDX identifier. That of the
// GPL's does not: whether later versions may be chosen stands elsewhere.
var licenses = []string{
	"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "EPL-2.0", "EUPL-1.2", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib",
}

// scanner knows only those, since to learn all takes more than a second.
var scanner = sync.OnceValues(func() (*licensecheck.Scanner, error) {
	return licensecheck.NewScanner(slices.DeleteFunc(licensecheck.BuiltinLicenses(), func(l licensecheck.License) bool {
		return !slices.Contains(licenses, l.ID)
	}))
})

// license gives the SPDX identifier of the licence in a module's folder; empty
// where there is none, or more than one, or one that is not told for certain.
func license(dir string) string {
	if dir == "" {
		return ""
	}
	root, err := os.OpenRoot(dir) // a link must not lead out of the checkout
	if err != nil {
		return ""
	}
	defer root.Close()
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING"} {
		info, err := root.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		file, err := root.Open(filepath.Clean(name))
		if err != nil {
			return ""
		}
		text, err := io.ReadAll(io.LimitReader(file, 1<<20))
		_ = file.Close()
		if err != nil {
			return ""
		}
		return identify(text)
	}
	return ""
}

func identify(text []byte) string {
	known, err := scanner()
	if err != nil {
		return ""
	}
	found := known.Scan(text)
	if found.Percent < 75 || len(found.Match) != 1 || found.Match[0].IsURL {
		return ""
	}
	return found.Match[0].ID
}
