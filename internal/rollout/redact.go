package rollout

import (
	"regexp"

	"github.com/fibership/fibership/internal/progress"
)

// hidden stands where something was taken out.
const hidden = progress.Hidden

// each rewrites every foreign text in the dossier.
func (d *Dossier) each(rewrite func(string) string) {
	all := func(lines []string) {
		for i := range lines {
			lines[i] = rewrite(lines[i])
		}
	}
	d.Cause, d.Next = rewrite(d.Cause), rewrite(d.Next)
	all(d.Events)
	all(d.Notes)
	for i := range d.Pods {
		p := &d.Pods[i]
		p.Reason = rewrite(p.Reason)
		for k := range p.Containers {
			c := &p.Containers[k]
			c.Message, c.Reason, c.State = rewrite(c.Message), rewrite(c.Reason), rewrite(c.State)
			all(c.Log)
			all(c.Previous)
		}
	}
}

// word is a name that announces a credential, as logs write it: password,
// DB_PASSWORD, "apiKey", x-auth-token.
const word = `[\w.\-]*(?:passw(?:or)?d|passwd|passphrase|pwd|secret|token|api[_\-]?key|access[_\-]?key|private[_\-]?key|credentials?|client[_\-]?secret|session[_\-]?id|cookie)[\w.\-]*`

var credentials = []struct {
	is  *regexp.Regexp
	put string
}{
	// user:pass@ in a URL or in a data source name
	{regexp.MustCompile(`([a-zA-Z][\w+.\-]*://[^\s:/@"']*):[^\s@"']+@`), `${1}:` + hidden + `@`},
	{regexp.MustCompile(`\b([\w.\-]+):[^\s:@/"']+@(tcp|unix|udp)\(`), `${1}:` + hidden + `@${2}(`},
	// Authorization: Basic abc, "authorization":"Bearer abc"
	{regexp.MustCompile(`(?i)(authorization["']?\s*[:=]\s*["']?)(?:(?:basic|bearer|token|digest|negotiate|apikey|aws4-hmac-sha256)\s+)?[^\s"',;]+[^"'\n]*`), `${1}` + hidden},
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[\w\-.~+/]{8,}=*`), `${1} ` + hidden},
	// set-cookie: a=b; …
	{regexp.MustCompile(`(?i)((?:set-)?cookie["']?\s*[:=]\s*).+`), `${1}` + hidden},
	{regexp.MustCompile(`(?i)(--?` + word + `\s+)[^\s\-][^\s]*`), `${1}` + hidden},
	// a key in PEM on one line, also where its end was cut off
	{regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*(?:KEY|SECRET|MESSAGE)[A-Z0-9 ]*-----.*`), hidden},
	// JSON Web Tokens
	{regexp.MustCompile(`\beyJ[\w\-]{8,}\.[\w\-]{8,}\.?[\w\-]*`), hidden},
	// AWS, GitHub, GitLab, Slack, Google, Stripe, npm, OpenAI, sendgrid and age keys by their own marks
	{regexp.MustCompile(`\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b`), hidden},
	{regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w\-]{16,}|xox[abprs]-[\w\-]{10,}|AIza[\w\-]{30,}|[sr]k_(?:live|test)_\w{10,}|npm_[A-Za-z0-9]{30,}|sk-[\w\-]{20,}|SG\.[\w\-]{16,}\.[\w\-]{16,}|AGE-SECRET-KEY-1[A-Z0-9]{20,})`), hidden},
}

// assigned is password=…, "token": "…", PASSWORD: …
var assigned = regexp.MustCompile(`(?i)(\b` + word + `\\?["']?\s*(?:=>|:?=|:)\s*)(\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s,;&"'})\]]+)`)

// plain are words that follow the name of a credential in sentences about it,
// as in "API_TOKEN: not set": they explain and hide nothing.
var plain = regexp.MustCompile(`(?i)^"?(not|is|are|was|missing|required|unset|empty|must|no|invalid|expired|secret|configmap|couldn't|cannot|failed|references|undefined|null|nil|none)[.!]?"?$`)

// scrub takes obvious credentials out of one line.
func scrub(line string) string {
	for _, c := range credentials {
		line = c.is.ReplaceAllString(line, c.put)
	}
	return assigned.ReplaceAllStringFunc(line, func(m string) string {
		parts := assigned.FindStringSubmatch(m)
		if plain.MatchString(parts[2]) {
			return m
		}
		return parts[1] + hidden
	})
}

// scrubAll takes obvious credentials out of a log: what scrub finds in a
// line, and blocks in PEM whatever they hold but certificates. A block whose
// beginning or end was cut off is taken out as far as it goes.
func scrubAll(lines []string) []string {
	out := make([]string, 0, len(lines))
	inside := false
	for i, line := range lines {
		begins, ends := pemBegin.MatchString(line), pemEnd.MatchString(line)
		switch {
		case inside || begins:
			if !inside {
				out = append(out, "*** private key ***")
			}
			inside = !ends
			continue
		case ends: // it began before the first line that we have
			cut := i
			for cut > 0 && pemBody.MatchString(lines[cut-1]) && len(out) > 0 {
				cut, out = cut-1, out[:len(out)-1]
			}
			out = append(out, "*** private key ***")
			continue
		}
		out = append(out, scrub(line))
	}
	return out
}

var (
	pemBegin = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*(?:KEY|SECRET|MESSAGE)[A-Z0-9 ]*-----`)
	pemEnd   = regexp.MustCompile(`-----END [A-Z0-9 ]*(?:KEY|SECRET|MESSAGE)[A-Z0-9 ]*-----`)
	pemBody  = regexp.MustCompile(`^[\s|]*[A-Za-z0-9+/=]{16,}\s*$`)
)
