package action

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// masks knows the secrets of a run and takes them out of texts. The runner
// masks what it is told to mask; this works at a terminal, in files and for
// the forms that a secret takes when it is encoded.
type masks struct {
	secrets  map[string]bool // as they are
	longest  int             // bytes of the longest form
	replacer *strings.Replacer
	forms    map[string]bool // secrets, and how else they can be written
}

// add takes in a value and returns those parts of it that are new.
func (m *masks) add(value string) (fresh []string) {
	if m.secrets == nil {
		m.secrets, m.forms = map[string]bool{}, map[string]bool{}
	}
	for _, secret := range parts(value) {
		if m.secrets[secret] {
			continue
		}
		m.secrets[secret] = true
		fresh = append(fresh, secret)
		for _, form := range forms(secret) {
			m.forms[form] = true
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	// A Replacer prefers the earlier of two that match at one place: the
	// longer must come first, or its rest stays readable.
	ordered := make([]string, 0, len(m.forms))
	for form := range m.forms {
		ordered = append(ordered, form)
		m.longest = max(m.longest, len(form))
	}
	slices.SortFunc(ordered, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(ordered))
	for _, form := range ordered {
		pairs = append(pairs, form, "***")
	}
	m.replacer = strings.NewReplacer(pairs...)
	return fresh
}

// redact takes the secrets out of a text.
func (m *masks) redact(text string) string {
	if m.replacer == nil {
		return text
	}
	return m.replacer.Replace(text)
}

// holds tells whether a text contains a secret.
func (m *masks) holds(text string) bool { return m.redact(text) != text }

const (
	trivialLine = 6       // shorter lines of a longer secret are no secret
	longLeaf    = 20      // a value in a document that may well be a key
	maxDocument = 4 << 20 // bytes
)

var (
	armor     = regexp.MustCompile(`^-----(BEGIN|END) [A-Z0-9 ]+-----$`)
	sensitive = regexp.MustCompile(`(?i)(token|pass|secret|key|credential|auth)`)
)

// parts are the texts to hide of one secret. A document (a kubeconfig, a
// service account's JSON) is hidden leaf by leaf, since its parts show up one
// by one and since "kind: Config" is no secret; any other text of several
// lines, line by line, since logs are written in lines.
func parts(value string) []string {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	if leaves, ok := documentLeaves(value); ok {
		return leaves
	}
	all := lines(value)
	if len(all) == 1 {
		return all
	}
	var secrets []string
	for _, line := range all {
		if line = strings.TrimSpace(line); len(line) >= trivialLine && !armor.MatchString(line) {
			secrets = append(secrets, line)
		}
	}
	if len(secrets) == 0 {
		secrets = []string{value}
	}
	return secrets
}

// documentLeaves are the secret values of a YAML or JSON document; ok is false
// where the value is none, or where nothing in it looks like one.
func documentLeaves(value string) (leaves []string, ok bool) {
	if len(value) > maxDocument || !strings.ContainsAny(value, "\n{[") {
		return nil, false
	}
	var document any
	if err := yaml.Unmarshal([]byte(value), &document); err != nil {
		return nil, false
	}
	top, isMap := document.(map[string]any)
	if _, isList := document.([]any); !isMap && !isList {
		return nil, false
	}
	var visit func(key string, node any)
	visit = func(key string, node any) {
		switch n := node.(type) {
		case map[string]any:
			for k, v := range n {
				visit(k, v)
			}
		case []any:
			for _, v := range n {
				visit(key, v)
			}
		case string:
			leaves = append(leaves, leafParts(key, n)...)
		case float64:
			leaves = append(leaves, leafParts(key, strconv.FormatFloat(n, 'f', -1, 64))...)
		}
	}
	visit("", document)
	if !strings.Contains(value, "\n") {
		leaves = append(leaves, value)
	}
	slices.Sort(leaves)
	return leaves, len(leaves) > 0 || top["kind"] == "Config"
}

func leafParts(key, leaf string) []string {
	if u, err := url.Parse(leaf); err == nil && u.Scheme != "" && u.Host != "" {
		if password, ok := u.User.Password(); ok {
			return []string{password}
		}
		return nil
	}
	if !sensitive.MatchString(key) && (len(leaf) < longLeaf || strings.ContainsAny(leaf, " /")) {
		return nil
	}
	found := parts(leaf)
	if decoded, err := base64.StdEncoding.DecodeString(leaf); err == nil && bytes.HasPrefix(decoded, []byte("-----BEGIN ")) {
		found = append(found, parts(string(decoded))...)
	}
	return found
}

// forms are a secret and how else it is written: in URLs, JSON, HTML, our own
// Markdown and, where it is long enough not to match by chance, base64.
func forms(secret string) []string {
	inner := func(escapeHTML bool) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(escapeHTML)
		_ = e.Encode(secret) // a string always encodes
		return strings.Trim(strings.TrimSpace(b.String()), `"`)
	}
	all := []string{
		secret, visible(secret), url.QueryEscape(secret), url.PathEscape(secret),
		inner(true), inner(false), html.EscapeString(secret), Escape(secret),
	}
	if len(secret) >= 8 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			all = append(all, shifted(encoding, secret)...)
		}
	}
	return slices.DeleteFunc(all, func(form string) bool { return form == "" || form == "***" })
}

// shifted is base64 of the secret wherever it stands in a longer text, as the
// password in a basic authorization does: three alignments, without the
// characters at the ends that depend on the neighbours.
func shifted(encoding *base64.Encoding, secret string) []string {
	var all []string
	for before := range 3 {
		encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))
		from := (before*8 + 5) / 6
		to := (before + len(secret)) * 8 / 6
		all = append(all, encoded[from:to])
	}
	return append(all, encoding.EncodeToString([]byte(secret)))
}
