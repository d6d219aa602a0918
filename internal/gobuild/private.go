package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Private says which modules are private, and how they are had.
type Private struct {
	Patterns []string // as in GOPRIVATE: github.com/acme/*
	Token    string   // for the hosts in Patterns; empty where they need none
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// ParsePrivate checks patterns of private modules. The first element of each is
// the host that the token is for, so it stands in full.
func ParsePrivate(patterns []string) error {
	for _, pattern := range patterns {
		host, _, _ := strings.Cut(pattern, "/")
		if !hostName.MatchString(host) || strings.ContainsAny(pattern, " \t\r\n,") {
			return fmt.Errorf("%q: expected host/path, with the host in full and no port", pattern)
		}
	}
	return nil
}

// ParseToken refuses what a netrc file cannot hold as one word.
func ParseToken(token string) error {
	if strings.ContainsAny(token, " \t\r\n\"\\") {
		return errors.New("expected one word")
	}
	return nil
}

// PrivatePatterns are those that a process's GOPRIVATE names.
func PrivatePatterns(environ []string) []string {
	return strings.FieldsFunc(lookup(environ, "GOPRIVATE"), func(r rune) bool { return r == ',' })
}

// netrc gives the token to each host once. Registries of code take any user
// name beside a token; GitHub asks for this one.
// Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
func (p Private) netrc() []byte {
	var hosts []string
	for _, pattern := range p.Patterns {
		host, _, _ := strings.Cut(pattern, "/")
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	var b bytes.Buffer
	for _, host := range slices.Compact(hosts) {
		fmt.Fprintf(&b, "machine %s login x-access-token password %s\n", host, p.Token)
	}
	return b.Bytes()
}

// Authorize lets the go command fetch private modules. The token lies in a home
// of the compiler's alone, until release is called: tests have another one,
// and where Unprivileged has given them a user of their own they cannot read
// it.
func (t *Toolchain) Authorize(ctx context.Context, private Private) (release func(), err error) {
	release = func() {}
	if len(private.Patterns) > 0 {
		t.environ = append(t.environ, "GOPRIVATE="+strings.Join(private.Patterns, ","))
	}
	another := t.user != nil && int(t.user.id) != os.Geteuid() // who must not read what is ours
	if private.Token == "" && !another {
		return release, nil
	}
	given, err := t.givenNetrc()
	if err != nil || private.Token == "" && given == nil {
		return release, err
	}
	if t.user == nil {
		if release, err = t.moveHome(ctx); err != nil {
			return release, err
		}
	}
	file := filepath.Join(t.user.home, ".netrc")
	content := given
	if private.Token != "" {
		content = append(private.netrc(), given...) // what stands first counts
	}
	t.user.places = append(t.user.places, "NETRC="+file)
	if another && t.tests != nil {
		t.tests.places = append(t.tests.places, "NETRC=")
	}
	if err := os.WriteFile(file, content, 0o600); err != nil { //nolint:gosec // in the home that we made
		return release, errors.Join(err, os.Remove(file)) //nolint:gosec // likewise
	}
	before := release
	return func() { _ = os.Remove(file); before() }, t.own(file) //nolint:gosec // likewise
}

// givenNetrc reads the netrc file that the job brings, nil where there is none:
// the compiler has another home, and may be a user who cannot read ours.
// Source: go help goauth.
func (t *Toolchain) givenNetrc() ([]byte, error) {
	file := lookup(t.environ, "NETRC")
	if file == "" {
		file = filepath.Join(lookup(t.environ, "HOME"), ".netrc")
	}
	content, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the job's netrc file: %w", err)
	}
	return append(content, '\n'), nil
}

// moveHome gives the compiler a home of its own, where it stays the user that
// we are. What lies in the old one by default stays there.
func (t *Toolchain) moveHome(ctx context.Context) (release func(), err error) {
	release = func() {}
	names := []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOENV"}
	out, err := t.output(ctx, nil, append([]string{"env", "-json"}, names...)...)
	if err != nil {
		return release, err
	}
	values := map[string]string{}
	if err := json.Unmarshal(out, &values); err != nil {
		return release, fmt.Errorf("read go env: %w", err)
	}
	var places []string
	for _, name := range names {
		places = append(places, name+"="+values[name])
	}
	id := os.Geteuid()
	home, err := newHome(uint32(id)) // #nosec G115 -- a user's number
	if err != nil {
		return release, err
	}
	t.tests = &user{id: uint32(id), home: lookup(t.environ, "HOME"), places: places} // #nosec G115 -- likewise
	t.user = &user{id: uint32(id), home: home, places: places}                       // #nosec G115 -- likewise
	return func() { _ = os.RemoveAll(home) }, nil
}
