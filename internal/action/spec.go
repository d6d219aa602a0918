// Package action speaks the runner's protocol, so that nothing else has to:
// inputs, outputs, masks, log groups, annotations, the summary, cancelling and
// exit codes. It knows no other package of Fibership but progress.
//
// An action declares its inputs once, beside its main:
//
//	var spec = action.New("rollback", action.Deploy, "Restore an earlier release")
//	var to = spec.Text("to", "the release to restore", action.Default("previous"))
//
//	func main() { action.Main(spec, run) }
//
// Declaring returns a pointer whose value is there once run is called. From
// the same declaration come flags, --help, action.yml and the README's tables.
package action

import (
	"cmp"
	"context"
	"time"
)

// An Image names the container image that an action's binary is shipped in:
// also the target in the Dockerfile.
type Image string

// The two published images.
const (
	Build  Image = "build"  // has the Go toolchain
	Deploy Image = "deploy" // static, no shell
)

// Spec is the declaration of one action.
type Spec struct {
	Name        string // also its folder under actions/
	Description string // one sentence
	Image       Image
	Inputs      []*Input  // in the order in which they were declared
	Outputs     []*Output // likewise

	// Check, where it is set, is called instead of run where inputs cannot be
	// read, which hold their defaults then: it finds what else is wrong with the
	// inputs, beside wrong, and tells of a run that came to nothing.
	Check func(ctx context.Context, r *Run, wrong error) error `json:"-"`
}

// Input is one declared input. Its value comes from the flag --name, else from
// INPUT_<NAME>; an empty value is the same as none.
type Input struct {
	Name        string
	Type        string // in words, for tables: "text", "list", "boolean", …
	Usage       string // one line
	Default     string // what holds when nothing is given; "" for nothing
	DefaultText string // how tables tell a default that is worked out, e.g. "the repository's name"
	Expression  string // default in action.yml only, e.g. "${{ github.token }}"
	Example     string // shown in errors
	Required    bool
	Secret      bool

	set   func(raw string) error  // parses and stores
	held  func(raw string) string // words a wrong value for its message, nil: as it is
	clear func()                  // forgets what an earlier run stored
	bare  bool                    // a flag without a value means true
}

// Output is one declared output.
type Output struct {
	Name  string
	Usage string
}

// Secret is a text that is masked before anything else is printed and reads
// as *** wherever it is formatted.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// Reveal gives the secret itself.
func (s Secret) Reveal() string { return string(s) }

// New begins a declaration.
func New(name string, image Image, description string) *Spec {
	return &Spec{Name: name, Image: image, Description: description}
}

// Option refines a declared input.
type Option func(*Input)

// Required makes an empty value a mistake.
func Required() Option { return func(i *Input) { i.Required = true } }

// Default holds where nothing is given; it is parsed like a given value.
func Default(value string) Option { return func(i *Input) { i.Default = value } }

// DefaultText tells, in tables, a default that the program works out.
func DefaultText(text string) Option { return func(i *Input) { i.DefaultText = text } }

// Expression is a workflow expression that action.yml gives as the default.
func Expression(e string) Option { return func(i *Input) { i.Expression = e } }

// Example is shown when the value is wrong.
func Example(value string) Option { return func(i *Input) { i.Example = value } }

// HeldAs words what a wrong value held, where parts of it may be secret.
func HeldAs(words func(raw string) string) Option { return func(i *Input) { i.held = words } }

// example is what a message about a wrong value gives as one that is right.
func (i *Input) example() string { return cmp.Or(i.Example, i.Default, i.Expression) }

// Text declares a text.
func (s *Spec) Text(name, usage string, options ...Option) *string {
	return Parsed(s, name, "text", usage, parseText, options...)
}

// Choice declares a text that is one of the given words.
func (s *Spec) Choice(name, usage string, choices []string, options ...Option) *string {
	return Parsed(s, name, quoted(choices), usage, parseChoice(choices), options...)
}

// List declares one item a line; blank lines and # comments are skipped.
func (s *Spec) List(name, usage string, options ...Option) *[]string {
	return Parsed(s, name, "list", usage, parseList, options...)
}

// Words declares a list that may also be written with commas.
func (s *Spec) Words(name, usage string, options ...Option) *[]string {
	return Parsed(s, name, "list or comma-separated", usage, parseWords, options...)
}

// Bool declares true or false, in YAML 1.2's core spellings only.
func (s *Spec) Bool(name, usage string, options ...Option) *bool {
	bare := func(i *Input) { i.bare = true }
	return Parsed(s, name, "boolean", usage, parseBool, append(options, bare)...)
}

// Duration declares a duration such as 90s or 5m.
func (s *Spec) Duration(name, usage string, options ...Option) *time.Duration {
	return Parsed(s, name, "duration", usage, parseDuration, options...)
}

// Percent declares a percentage such as 25%, given as a share of 1.
func (s *Spec) Percent(name, usage string, options ...Option) *float64 {
	return Parsed(s, name, "percentage", usage, parsePercent, options...)
}

// Number declares a whole number, zero or more.
func (s *Spec) Number(name, usage string, options ...Option) *int {
	return Parsed(s, name, "number", usage, parseNumber, options...)
}

// Secret declares a secret.
func (s *Spec) Secret(name, usage string, options ...Option) *Secret {
	secret := func(i *Input) { i.Secret = true }
	return Parsed(s, name, "secret", usage, parseSecret, append(options, secret)...)
}

// Parsed declares an input that is parsed at the edge. Where several inputs
// are wrong all are reported; parse's error says what is expected. A value
// that was not given, and has no default, leaves T's zero value.
func Parsed[T any](s *Spec, name, kind, usage string, parse func(string) (T, error), options ...Option) *T {
	value := new(T)
	input := &Input{Name: name, Type: kind, Usage: usage}
	for _, o := range options {
		o(input)
	}
	input.set = func(raw string) error {
		v, err := parse(raw)
		if err == nil {
			*value = v
		}
		return err
	}
	input.clear = func() {
		var none T
		*value = none
	}
	s.Inputs = append(s.Inputs, input)
	return value
}

// Output declares an output.
func (s *Spec) Output(name, usage string) {
	s.Outputs = append(s.Outputs, &Output{Name: name, Usage: usage})
}
