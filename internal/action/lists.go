package action

import "errors"

// ListOf declares one item a line, each parsed at the edge; all that are wrong
// are reported.
func ListOf[T any](s *Spec, name, usage string, parse func(string) (T, error), options ...Option) *[]T {
	return Parsed(s, name, "list", usage, each(parseList, parse), options...)
}

// ListAs declares one item a line, parsed as a whole.
func ListAs[T any](s *Spec, name, usage string, parse func([]string) (T, error), options ...Option) *T {
	return Parsed(s, name, "list", usage, whole(parseList, parse), options...)
}

// WordsOf declares a list that may also be written with commas and is parsed
// as a whole.
func WordsOf[T any](s *Spec, name, usage string, parse func([]string) (T, error), options ...Option) *T {
	return Parsed(s, name, "list or comma-separated", usage, whole(parseWords, parse), options...)
}

func whole[T any](split func(string) ([]string, error), parse func([]string) (T, error)) func(string) (T, error) {
	return func(raw string) (T, error) {
		items, err := split(raw)
		if err != nil {
			var none T
			return none, err
		}
		return parse(items)
	}
}

func each[T any](split func(string) ([]string, error), parse func(string) (T, error)) func(string) ([]T, error) {
	return func(raw string) ([]T, error) {
		items, err := split(raw)
		if err != nil {
			return nil, err
		}
		all := make([]T, 0, len(items))
		var errs []error
		for _, item := range items {
			one, err := parse(item)
			all, errs = append(all, one), append(errs, err)
		}
		return all, errors.Join(errs...)
	}
}
