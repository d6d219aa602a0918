package action

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: staging
clusters:
- name: staging
  cluster:
    server: https://10.0.0.1:6443
users:
- name: staging
  user:
    token: short-tok
    client-key-data: LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0tCk1IY0NBUUVFSUJzZWNyZXRzZWNyZXQKLS0tLS1FTkQgRUMgUFJJVkFURSBLRVktLS0tLQo=
`

func TestMasks_hideEveryForm(t *testing.T) {
	const secret = `p&ss/"w<rd>+1`
	encoded, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	var m masks
	m.add(secret)
	for name, text := range map[string]string{
		"itself":     "login " + secret + " now",
		"query":      "https://x/?p=" + url.QueryEscape(secret),
		"path":       "https://x/" + url.PathEscape(secret),
		"JSON":       string(encoded),
		"base64":     base64.StdEncoding.EncodeToString([]byte(secret)),
		"basic auth": "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret)),
		"shifted 2":  base64.StdEncoding.EncodeToString([]byte("me:" + secret + "!")),
		"base64 URL": base64.URLEncoding.EncodeToString([]byte("ab" + secret + "~~~")),
		"Markdown":   Escape(secret),
	} {
		got := m.redact(text)
		if got == text || !strings.Contains(got, "***") {
			t.Errorf("%s is readable: %q", name, got)
		}
	}
}

func TestMasks_preferTheLonger(t *testing.T) {
	var m masks
	m.add("token")
	m.add("token-and-more")
	if got := m.redact("a token-and-more b"); got != "a *** b" {
		t.Errorf("got %q", got)
	}
}

func TestMasks_hideLinesOfAKey(t *testing.T) {
	var m masks
	fresh := m.add("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\nByqGSM49AgEG\n}\n-----END PRIVATE KEY-----\n")
	if len(fresh) != 2 {
		t.Errorf("masked %q, want the two lines of the key", fresh)
	}
	if got := m.redact("x ByqGSM49AgEG y } -----BEGIN PRIVATE KEY-----"); got != "x *** y } -----BEGIN PRIVATE KEY-----" {
		t.Errorf("got %q", got)
	}
}

func TestMasks_hideAKubeconfigLeafByLeaf(t *testing.T) {
	var m masks
	m.add(kubeconfig)
	for _, hidden := range []string{"short-tok", "LS0tLS1CRUdJTiBFQyBQUklWQVRF", "MHcCAQEEIBsecretsecret"} {
		line := "got " + hidden + " here"
		if hidden == "LS0tLS1CRUdJTiBFQyBQUklWQVRF" {
			line = kubeconfig
		}
		if got := m.redact(line); strings.Contains(got, hidden) {
			t.Errorf("%q is readable in %q", hidden, got)
		}
	}
	for _, plain := range []string{"kind: Config", "apiVersion: v1", "environment staging", "https://10.0.0.1:6443"} {
		if m.holds(plain) {
			t.Errorf("%q is no secret, but is hidden", plain)
		}
	}
}

func TestMasks_hideOneLineDocumentsWholeAndInParts(t *testing.T) {
	var m masks
	m.add(`{"type":"service_account","private_key":"abc\ndefghij","password":12345}`)
	for _, hidden := range []string{"defghij", "12345"} {
		if !m.holds("x " + hidden) {
			t.Errorf("%q is readable", hidden)
		}
	}
}

func TestMasks_hideOpaqueTextThatParses(t *testing.T) {
	var m masks
	m.add("first part: of\nan opaque: text")
	for _, hidden := range []string{"first part: of", "an opaque: text"} {
		if !m.holds(hidden) {
			t.Errorf("%q is readable", hidden)
		}
	}
}

func TestConsole_hidesSecretsBrokenByColours(t *testing.T) {
	var out strings.Builder
	c := &console{out: &out}
	c.mask("hunter2-and-on")
	_, _ = c.Foreign().Write([]byte("a hunter2\x1b[0m-and\u200b-on b\n"))
	if got := out.String(); got != "a *** b\n" {
		t.Errorf("got %q", got)
	}
}

func FuzzMasks(f *testing.F) {
	f.Add("hunter2", "a", "b")
	f.Add("a\"b\\c", "", "::")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if strings.TrimSpace(secret) != secret || len(secret) < 4 || strings.ContainsAny(secret, "\r\n*{[") || visible(secret) != secret {
			t.Skip()
		}
		if strings.Contains(before, secret) || strings.Contains(after, secret) {
			t.Skip()
		}
		var out strings.Builder
		c := &console{out: &out, inActions: true}
		c.mask(secret)
		out.Reset()
		c.Linef("%s", before+secret+after)
		if strings.Contains(out.String(), secret) && !strings.Contains("***", secret) {
			t.Errorf("%q is readable in %q", secret, out.String())
		}
	})
}
