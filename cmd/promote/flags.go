package main

import (
	"errors"
	"fmt"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/flags"
)

// parseRamps reads what is to be opened, each flag once.
func parseRamps(lines []string) ([]flags.Ramp, error) {
	var all []flags.Ramp
	var errs []error
	seen := map[string]bool{}
	for _, line := range lines {
		ramp, err := flags.ParseRamp(line)
		if err == nil && seen[ramp.Flag] {
			err = fmt.Errorf("expected each flag once: %q is there twice", ramp.Flag)
		}
		seen[ramp.Flag] = true
		all, errs = append(all, ramp), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// ramped is what is to be opened of the flag file, nil where there is none.
func ramped(file *flags.File) ([]flags.Ramp, error) {
	if file == nil {
		return nil, nil
	}
	var ramps []flags.Ramp
	var errs []error
	for _, line := range *ramp {
		known, err := line.In(file)
		ramps, errs = append(ramps, known), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, action.WrongInput("ramp", err)
	}
	return ramps, nil
}
