package rollout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/progress"
)

func TestScrub(t *testing.T) {
	const planted = "pl4nted-S3cret_value"
	for _, line := range []string{
		"Authorization: Bearer " + planted,
		"authorization: basic " + planted,
		`{"Authorization":"Bearer ` + planted + `"}`,
		"X-Api-Key: " + planted,
		"bearer " + planted,
		"password=" + planted,
		"password = " + planted,
		"DB_PASSWORD=" + planted + " starting",
		`{"dbPassword": "` + planted + `", "user": "orders"}`,
		`{\"token\":\"` + planted + `\"}`,
		`level=info api_key="` + planted + `" msg=x`,
		"client-secret: " + planted,
		"--admin-token " + planted,
		"--password=" + planted,
		"postgres://orders:" + planted + "@db:5432/orders",
		"amqp://:" + planted + "@mq/",
		"orders:" + planted + "@tcp(db:3306)/orders",
		"Set-Cookie: session=" + planted + "; Path=/",
		"GET /login?user=a&token=" + planted + "&x=1",
		`config: {Host:db Password:` + planted + ` Port:5432}`,
		"key: -----BEGIN PRIVATE KEY-----" + planted + "-----END PRIVATE KEY-----",
		"AWS_SECRET_ACCESS_KEY=" + planted,
	} {
		if got := scrub(line); strings.Contains(got, planted) {
			t.Errorf("%q is shown as %q", line, got)
		}
	}
	for _, key := range []string{
		"AKIAIOSFODNN7EXAMPLE", "ghp_" + strings.Repeat("a1", 18), "glpat-" + strings.Repeat("x", 20), "xoxb-1234567890-abc",
		"sk_live_" + strings.Repeat("4", 16), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
	} {
		if got := scrub("using " + key + " now"); got != "using *** now" {
			t.Errorf("%q is shown as %q", key, got)
		}
	}
}

func TestScrub_leavesExplanations(t *testing.T) {
	for _, line := range []string{
		`MountVolume.SetUp failed for volume "db-secret" : secret "db" not found`,
		`couldn't find key password in Secret shop/db`,
		"API_TOKEN: not set",
		"token: missing",
		"panic: runtime error: invalid memory address or nil pointer dereference",
		`Get "http://10.0.0.1:3000/readyz": dial tcp 10.0.0.1:3000: connect: connection refused`,
		"failed to pull ghcr.io/acme/orders@sha256:0123456789abcdef: not found",
		"listening on http://0.0.0.0:3000 as user@example.com",
	} {
		if got := scrub(line); got != line {
			t.Errorf("%q became %q", line, got)
		}
	}
}

func TestScrubAll_blocks(t *testing.T) {
	body := strings.Repeat("MIIEvQIBADANBgkq", 4)
	for name, lines := range map[string][]string{
		"whole":          {"key:", "-----BEGIN RSA PRIVATE KEY-----", body, body, "-----END RSA PRIVATE KEY-----", "next"},
		"end cut off":    {"-----BEGIN PRIVATE KEY-----", body, body},
		"begin cut off":  {body, body, "-----END EC PRIVATE KEY-----", "next"},
		"in one line":    {`{"key":"-----BEGIN PRIVATE KEY-----\n` + body + `\n-----END PRIVATE KEY-----\n"}`, "next"},
		"behind a stamp": {"2026-01-01 -----BEGIN OPENSSH PRIVATE KEY-----", body, "-----END OPENSSH PRIVATE KEY-----"},
	} {
		got := strings.Join(scrubAll(lines), "\n")
		if strings.Contains(got, body) {
			t.Errorf("%s: %s", name, got)
		}
		if strings.Contains(strings.Join(lines, "\n"), "next") != strings.Contains(got, "next") {
			t.Errorf("%s: what follows the block is lost: %s", name, got)
		}
	}
}

func TestDossier_eachLeavesNoTextOut(t *testing.T) {
	d := Dossier{
		Cause: "x s3cret-one y", Next: "s3cret-one", Events: []string{"e s3cret-one"}, Notes: []string{"s3cret-one"},
		Pods: []PodEvidence{{Reason: "s3cret-one", Containers: []ContainerEvidence{{
			Message: "m s3cret-one", Reason: "s3cret-one", State: "s3cret-one", Log: []string{"s3cret-one", "a true b"}, Previous: []string{"s3cret-one"},
		}}}},
	}
	d.each(progress.Hide([]string{"s3cret-one"}))
	text := fmt.Sprintf("%+v", d)
	if strings.Contains(text, "s3cret") || strings.Count(text, hidden) != 10 {
		t.Errorf("it is shown, or not all of it was looked at: %s", text)
	}
}

// FuzzScrub holds scrub to what every line is owed: it ends, and twice is once.
func FuzzScrub(f *testing.F) {
	f.Add("password=abc token: x", "-----BEGIN PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, a, b string) {
		once := scrub(a)
		if len(once) > 4*len(a)+64 {
			t.Errorf("%d bytes became %d", len(a), len(once))
		}
		if got := scrubAll([]string{a, b, a}); len(got) > 6 {
			t.Errorf("three lines became %d", len(got))
		}
	})
}
