package main

import (
	"errors"
	"fmt"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/flags"
)

// flagged is the flag file and what is to be opened of it.
func flagged(r *action.Run) (*flags.File, []flags.Ramp, error) {
	if len(*ramp) > 0 && !files.HasFlags() {
		return nil, nil, action.WrongInput("ramp", errors.New("expected the flag file in the input flags: there is none to open a flag of"))
	}
	file, err := files.FlagFile(r)
	if err != nil || file == nil {
		return nil, nil, err
	}
	var ramps []flags.Ramp
	var errs []error
	seen := map[string]bool{}
	for _, line := range *ramp {
		known, err := line.In(file)
		if seen[line.Flag] {
			err = fmt.Errorf("flag %q is there twice", line.Flag)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("input ramp: %w", err))
		}
		seen[line.Flag] = true
		ramps = append(ramps, known)
	}
	return file, ramps, errors.Join(errs...)
}
