package flags

import (
	"fmt"
	"slices"
	"strings"
)

// Ramp opens one flag step by step.
type Ramp struct {
	Flag    string
	Variant string // empty until In: the variant that is true
	Steps   []int  // shares in percent, rising, 1 to 100
}

// ParseRamp reads "name: 5%, 25%, 100%" or "name=variant: 5%, 25%, 100%".
func ParseRamp(line string) (Ramp, error) {
	i := strings.LastIndexByte(line, ':')
	if i < 0 {
		return Ramp{}, fmt.Errorf("%q: expected a flag, a colon and the shares, such as new-checkout: 5%%, 25%%, 100%%", line)
	}
	r := Ramp{Flag: strings.TrimSpace(line[:i])}
	if name, variant, ok := cutLast(r.Flag, '='); ok {
		r.Flag, r.Variant = strings.TrimSpace(name), strings.TrimSpace(variant)
		if r.Variant == "" {
			return Ramp{}, fmt.Errorf("%q: there is no variant after the =", line)
		}
	}
	if r.Flag == "" {
		return Ramp{}, fmt.Errorf("%q: there is no flag before the colon", line)
	}
	for word := range strings.SplitSeq(line[i+1:], ",") {
		percent, err := percentage(strings.TrimSpace(word))
		if err != nil {
			return Ramp{}, fmt.Errorf("flag %q: %w", r.Flag, err)
		}
		if len(r.Steps) > 0 && percent <= r.Steps[len(r.Steps)-1] {
			return Ramp{}, fmt.Errorf("flag %q: %d%% comes after %d%%: shares rise from step to step", r.Flag, percent, r.Steps[len(r.Steps)-1])
		}
		r.Steps = append(r.Steps, percent)
	}
	return r, nil
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func percentage(word string) (int, error) {
	digits, ok := strings.CutSuffix(word, "%")
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' || n > 100 {
			ok = false
			break
		}
		n = 10*n + int(c-'0')
	}
	if !ok || digits == "" || n < 1 || n > 100 {
		return 0, fmt.Errorf("%q is no share: a whole percentage from 1%% to 100%%", word)
	}
	return n, nil
}

// String reads "new-checkout=on: 5%, 25%, 100%".
func (r Ramp) String() string {
	steps := make([]string, 0, len(r.Steps))
	for _, percent := range r.Steps {
		steps = append(steps, fmt.Sprintf("%d%%", percent))
	}
	return fmt.Sprintf("%s=%s: %s", r.Flag, r.Variant, strings.Join(steps, ", "))
}

// In is the ramp with its variant, once the file is known to take every step.
func (r Ramp) In(f *File) (Ramp, error) {
	if _, known := f.flags[r.Flag]; known && r.Variant == "" {
		variant, err := f.truth(r.Flag)
		if err != nil {
			return Ramp{}, fmt.Errorf("flag %q: %w: name the variant to open, %s=<variant>: …", r.Flag, err, r.Flag)
		}
		r.Variant = variant
	}
	for _, percent := range r.Steps {
		if _, err := f.Open(r.Flag, r.Variant, percent); err != nil {
			return Ramp{}, err
		}
	}
	return r, nil
}

// Above is the ramp without the steps that a flag is beyond already.
func (r Ramp) Above(percent int) Ramp {
	r.Steps = slices.DeleteFunc(slices.Clone(r.Steps), func(step int) bool { return step <= percent })
	return r
}
