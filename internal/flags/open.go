package flags

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Open is the file in which a flag gives the variant to percent, 0 to 100, of
// those who ask, and the default variant to the others.
//
// Those who have it at a share keep it at every larger one: flagd puts a key
// into the first bucket whose end, counted from the first, lies above the
// key's hash, so the variant's bucket comes first and only grows. 0 and 100
// are exact. A flag without rules gets a fractional rule; where its rules hold
// one, its buckets are replaced, and all other rules, also what it buckets by,
// stay.
func (f *File) Open(flag, variant string, percent int) (*File, error) {
	if percent < 0 || percent > 100 {
		return nil, fmt.Errorf("flag %q: %d%% is no share from 0%% to 100%%", flag, percent)
	}
	definition, standard, err := f.openable(flag, variant)
	if err != nil {
		return nil, err
	}
	opened := maps.Clone(definition)
	set := func(by []any) any { return share(by, variant, standard, percent) }
	rules, _ := definition["targeting"].(map[string]any)
	if len(rules) == 0 {
		opened["targeting"] = set(nil)
		return f.set(flag, opened), nil
	}
	nodes := 0
	opened["targeting"] = replace(rules, set, &nodes)
	switch {
	case nodes == 0:
		return nil, fmt.Errorf("flag %q: its targeting holds no fractional rule that could be opened: put one where the share is to be decided, e.g. {\"if\": [{\"ends_with\": [{\"var\": \"email\"}, \"@example.com\"]}, %q, {\"fractional\": [[%q, 0], [%q, 100]]}]}",
			flag, variant, variant, standard)
	case nodes > 1:
		return nil, fmt.Errorf("flag %q: its targeting holds %d fractional rules, and which of them is to be opened is not known: keep one", flag, nodes)
	}
	return f.set(flag, opened), nil
}

// openable is the flag's definition and its default variant.
func (f *File) openable(flag, variant string) (definition map[string]any, standard string, err error) {
	definition, ok := f.flags[flag].(map[string]any)
	if !ok {
		return nil, "", fmt.Errorf("there is no flag %q: the file has %s", flag, strings.Join(f.Names(), ", "))
	}
	if definition["state"] != "ENABLED" {
		return nil, "", fmt.Errorf("flag %q is %v: only an ENABLED flag can be opened", flag, definition["state"])
	}
	variants, _ := definition["variants"].(map[string]any)
	if _, ok := variants[variant]; !ok {
		return nil, "", fmt.Errorf("flag %q has no variant %q: it has %s", flag, variant, strings.Join(slices.Sorted(maps.Keys(variants)), ", "))
	}
	standard, _ = definition["defaultVariant"].(string)
	switch standard {
	case "":
		return nil, "", fmt.Errorf("flag %q has no defaultVariant, which those get who do not get %q yet", flag, variant)
	case variant:
		return nil, "", fmt.Errorf("flag %q: variant %q is its default variant, so everyone has it", flag, variant)
	}
	return definition, standard, nil
}

// share is the rule that decides; by is what it buckets by, nil for the
// targeting key. All is said without asking for a key: there may be none, and
// a hash may lie on the very end. The rule stays within, for the way back.
func share(by []any, variant, standard string, percent int) any {
	buckets := append(slices.Clone(by), []any{variant, int64(percent)}, []any{standard, int64(100 - percent)})
	rule := map[string]any{"fractional": buckets}
	if percent == 100 {
		return map[string]any{"if": []any{true, variant, rule}}
	}
	return rule
}

// replace gives the rules with every fractional one as set makes it, and
// counts them.
func replace(rule any, set func(by []any) any, nodes *int) any {
	switch rule := rule.(type) {
	case []any:
		replaced := make([]any, 0, len(rule))
		for _, inner := range rule {
			replaced = append(replaced, replace(inner, set, nodes))
		}
		return replaced
	case map[string]any:
		if by, ok := fractional(rule); ok {
			*nodes++
			return set(by)
		}
		if inner, ok := all(rule); ok {
			return replace(inner, set, nodes)
		}
		replaced := make(map[string]any, len(rule))
		for operator, inner := range rule {
			replaced[operator] = replace(inner, set, nodes)
		}
		return replaced
	}
	return rule
}

// fractional says whether the rule is one, and what it buckets by.
func fractional(rule map[string]any) (by []any, ok bool) {
	buckets, ok := rule["fractional"].([]any)
	if !ok || len(rule) != 1 {
		return nil, false
	}
	if len(buckets) > 0 {
		if _, isBucket := buckets[0].([]any); !isBucket {
			by = buckets[:1:1]
		}
	}
	return by, true
}

// all says whether the rule is what share makes of 100 %, and gives the
// fractional rule within.
func all(rule map[string]any) (inner map[string]any, ok bool) {
	parts, _ := rule["if"].([]any)
	if len(rule) != 1 || len(parts) != 3 || parts[0] != true {
		return nil, false
	}
	inner, _ = parts[2].(map[string]any)
	_, ok = fractional(inner)
	return inner, ok
}

// truth is the one variant of a boolean flag whose value is true.
func (f *File) truth(flag string) (string, error) {
	definition, _ := f.flags[flag].(map[string]any)
	variants, _ := definition["variants"].(map[string]any)
	var found []string
	for name, value := range variants {
		if value == true {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", errors.New("no single variant of it is true")
	}
	return found[0], nil
}
