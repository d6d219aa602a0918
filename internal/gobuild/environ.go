package gobuild

import (
	"slices"
	"strings"
)

// passed are the variables that the toolchain, the C compiler and tests need.
// It is a list of what may pass, not of what may not: a job's environment
// holds tokens under any name.
var passed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
	"AR", "CC", "CXX", "FC", "PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR",
	"GO111MODULE", "GO386", "GOAMD64", "GOARM", "GOARM64", "GOAUTH", "GOBIN", "GOCACHE", "GODEBUG", "GOENV", "GOEXPERIMENT",
	"GOFIPS140", "GOFLAGS", "GOGC", "GOINSECURE", "GOMAXPROCS", "GOMEMLIMIT", "GOMODCACHE", "GOMIPS", "GOMIPS64", "GONOPROXY",
	"GONOSUMDB", "GOPATH", "GOPPC64", "GOPRIVATE", "GOPROXY", "GORISCV64", "GOROOT", "GOSUMDB", "GOTMPDIR", "GOTOOLCHAIN",
	"GOTRACEBACK", "GOVCS", "GOWASM", "GOWORK", "NETRC",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO",
}

// Environ picks from a process's environment what a user's code may see. No
// input, no runner's token and no credential is among it.
func Environ(environ []string) []string {
	var kept []string
	cgo := false
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case slices.Contains(passed, name), strings.HasPrefix(name, "LC_"), strings.HasPrefix(name, "CGO_"):
			kept = append(kept, pair)
		}
		cgo = cgo || name == "CGO_ENABLED"
	}
	if !cgo { // a static binary, which runs on a root file system without libc
		kept = append(kept, "CGO_ENABLED=0")
	}
	return kept
}

// lookup gives the last value of name, as a process would see it.
func lookup(environ []string, name string) string {
	for _, pair := range slices.Backward(environ) {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value
		}
	}
	return ""
}
