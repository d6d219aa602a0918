package gobuild

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fibership/fibership/internal/progress"
)

func TestAuthorize_bringsTheJobsNetrcToTheCompilerAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has another user compile")
	}
	for name, c := range map[string]struct {
		variable bool
		token    string
		want     string
	}{
		"named by NETRC": {true, "", "machine a login b password c\n\n"},
		"in the home":    {false, "", "machine a login b password c\n\n"},
		"with a token":   {true, "x", "machine git.example.com login x-access-token password x\nmachine a login b password c\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			file := filepath.Join(home, ".netrc")
			environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
			if c.variable {
				file = filepath.Join(t.TempDir(), "credentials")
				environ = append(environ, "NETRC="+file)
			}
			if err := os.WriteFile(file, []byte("machine a login b password c\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			toolchain := New(Source{Workspace: home, Dir: home}, environ, progress.Discard)
			toolchain.user, toolchain.tests = &user{id: nobody, home: t.TempDir()}, &user{id: tester, home: t.TempDir()}
			release, err := toolchain.Authorize(t.Context(), Private{Patterns: []string{"git.example.com/*"}, Token: c.token})
			if err != nil {
				t.Fatal(err)
			}
			seen := filepath.Join(toolchain.user.home, ".netrc")
			content, err := os.ReadFile(seen)
			if err != nil || string(content) != c.want {
				t.Errorf("the compiler has %q, %v", content, err)
			}
			if info := lstat(t, seen); info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != nobody {
				t.Errorf("it is %s, of user %d", info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
			}
			if got := lookup(toolchain.command(t.Context(), nil, "version").Env, "NETRC"); got != seen {
				t.Errorf("the compiler is led to %q", got)
			}
			alone := &Toolchain{source: toolchain.source, environ: toolchain.environ, user: toolchain.tests, log: toolchain.log}
			if got := lookup(alone.command(t.Context(), nil, "version").Env, "NETRC"); strings.Contains(got, seen) || c.variable && got != "" {
				t.Errorf("tests are led to %q", got)
			}
			release()
			if _, err := os.Lstat(seen); err == nil {
				t.Error("it is left behind")
			}
		})
	}
}
