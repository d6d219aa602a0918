package action

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fibership/fibership/internal/progress"
)

// InputError is a mistake in an input. It ends the run with exit code 2.
type InputError struct {
	Name string // of the input; empty for a stray argument or an unknown flag
	Err  error  // says what is expected
}

// WrongInput tells that the named input is wrong in a way that only the run
// could find. Several are joined with errors.Join; nothing may have been
// touched by then.
func WrongInput(name string, err error) error { return &InputError{Name: name, Err: err} }

func (e *InputError) Error() string {
	if e.Name == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("input %q: %v", e.Name, e.Err)
}

func (e *InputError) Unwrap() error { return e.Err }

// annotation says which input, what it held, what is expected and an example.
func (e *InputError) annotation(s *Spec, g given) progress.Annotation {
	note := progress.Annotation{Level: progress.Error, Title: "Wrong input", Message: e.Error()}
	input := s.input(e.Name)
	if input == nil {
		return note
	}
	note.Title = "Wrong input: " + e.Name
	raw := g.raw[e.Name]
	switch {
	case raw == "":
		note.Message = fmt.Sprintf("input %q is not given: %v", e.Name, e.Err)
	case input.Secret:
		note.Message = fmt.Sprintf("input %q (a secret, not shown): %v", e.Name, e.Err)
	case input.held != nil:
		note.Message = fmt.Sprintf("input %q is %s: %v", e.Name, shown(input.held(raw)), e.Err)
	default:
		note.Message = fmt.Sprintf("input %q is %s: %v", e.Name, shown(raw), e.Err)
	}
	if example := input.example(); example != "" {
		note.Message += "; for example: " + example
	}
	return note
}

// shown quotes a value for a message: shortened, control characters escaped.
func shown(value string) string {
	const most = 120
	if utf8.RuneCountInString(value) > most {
		value = string([]rune(value)[:most]) + "…"
	}
	return strconv.Quote(value)
}

// wrongInputs gathers the input errors of a tree of errors, each once.
func wrongInputs(err error) []*InputError {
	var found []*InputError
	seen := map[string]bool{}
	walk(err, func(e error) bool {
		if wrong, ok := e.(*InputError); ok { //nolint:errorlint // walk unwraps
			if !seen[wrong.Error()] {
				found = append(found, wrong)
			}
			seen[wrong.Error()] = true
			return false
		}
		return true
	})
	return found
}

// joined is all mistakes as one error.
func joined(mistakes []*InputError) error {
	all := make([]error, len(mistakes))
	for i, m := range mistakes {
		all[i] = m
	}
	return errors.Join(all...)
}

// further finds what else is wrong with inputs of which some cannot be read. What
// it says of these themselves follows from that, and is left out.
func (s *Spec) further(ctx context.Context, r *Run, mistakes []*InputError) error {
	if s.Check == nil {
		return nil
	}
	known := map[string]bool{}
	for _, m := range mistakes {
		known[m.Name] = true
	}
	var more []*InputError
	for _, m := range wrongInputs(safely(ctx, r, func(ctx context.Context, r *Run) error { return s.Check(ctx, r, joined(mistakes)) })) {
		if !known[m.Name] {
			more = append(more, m)
		}
	}
	return joined(more)
}

// given is what environment and flags held, before it is parsed.
type given struct {
	raw            map[string]string // by the input's name
	help, describe bool
}

// given reads INPUT_* and flags; a flag wins.
func (s *Spec) given(getenv func(string) string, args []string) (given, []*InputError) {
	g := given{raw: map[string]string{}}
	flags := flag.NewFlagSet(s.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&g.describe, "describe", false, "")
	for _, input := range s.Inputs {
		g.raw[input.Name] = strings.TrimSpace(getenv(variable(input.Name)))
		keep := func(v string) error {
			g.raw[input.Name] = strings.TrimSpace(v)
			return nil
		}
		if input.bare {
			flags.BoolFunc(input.Name, input.Usage, keep)
		} else {
			flags.Func(input.Name, input.Usage, keep)
		}
	}
	// FlagSet stops at the first mistake; going on with the rest reports all.
	var mistakes []*InputError
	for {
		before := len(args)
		err := flags.Parse(args)
		args = flags.Args()
		switch {
		case errors.Is(err, flag.ErrHelp):
			g.help = true
			return g, nil
		case err != nil:
			// FlagSet leaves what is no flag at all (---x, --=x) where it is, and
			// quotes it whole: its value may be a secret.
			if len(args) > 0 && (len(args) == before || strings.HasPrefix(err.Error(), "bad flag syntax")) {
				err = fmt.Errorf("bad flag syntax: %s", shown(valueless(args[0])))
				args = args[1:]
			}
			mistakes = append(mistakes, &InputError{Err: fmt.Errorf("%w; --help lists every input", err)})
			// What follows an unknown flag is its value, and may be a secret
			// whose flag was misspelt: it is not shown.
			if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				args = args[1:]
			}
		case len(args) == 0:
			return g, mistakes
		default:
			mistakes = append(mistakes, &InputError{Err: fmt.Errorf("unexpected argument %s; --help lists every input", shown(valueless(args[0])))})
			args = args[1:]
		}
	}
}

// valueless is an argument without what may be the value of a flag.
func valueless(arg string) string {
	dashes := len(arg) - len(strings.TrimLeft(arg, "-"))
	if dashes == 0 {
		return arg
	}
	name, _, _ := strings.Cut(arg[dashes:], "=")
	return arg[:dashes] + name
}

// store parses what was given into the declared values.
func (s *Spec) store(g given) []*InputError {
	var mistakes []*InputError
	for _, input := range s.Inputs {
		input.clear()
		raw := g.raw[input.Name]
		if input.lists() && blank(raw) {
			raw = ""
		}
		if raw == "" && input.Required {
			mistakes = append(mistakes, &InputError{Name: input.Name, Err: errors.New("it is required")})
			continue
		}
		if raw != "" {
			err := input.set(raw)
			if err == nil {
				continue
			}
			mistakes = append(mistakes, &InputError{Name: input.Name, Err: err})
		}
		if input.Default != "" {
			if err := input.set(input.Default); err != nil {
				panic(fmt.Sprintf("default of input %q: %v", input.Name, err))
			}
		}
	}
	return mistakes
}

// lists says whether the input is one item a line.
func (i *Input) lists() bool { return strings.HasPrefix(i.Type, "list") }

func (s *Spec) input(name string) *Input {
	for _, input := range s.Inputs {
		if input.Name == name {
			return input
		}
	}
	return nil
}

// variable is where the runner puts an input: upper case, spaces as
// underscores, hyphens kept.
func variable(name string) string {
	return "INPUT_" + strings.ToUpper(strings.ReplaceAll(name, " ", "_"))
}

// lookup reads a process's environment; of doubles the last counts.
func lookup(environ []string) func(string) string {
	values := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	return func(name string) string { return values[name] }
}
