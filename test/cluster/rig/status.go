//go:build linux

package rig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Phase is how far a cluster has come.
type Phase string

// Phases of a cluster.
const (
	Down     Phase = "down"     // nothing runs
	Starting Phase = "starting" // PID 1 runs, but not every step is done
	Up       Phase = "up"       // every step is done
	Failed   Phase = "failed"   // PID 1 runs, but a step failed
)

// Status is what PID 1 tells about itself, through a file in Rig.Dir.
type Status struct {
	Phase   Phase  `json:"phase"`
	Version string `json:"version"`
	// Programs is the folder of the programs that run, which another version's command has elsewhere.
	Programs string    `json:"programs"`
	PID      int       `json:"pid"` // of PID 1, as the machine counts
	Since    time.Time `json:"since"`
	// Born is the time at which the kernel started the process, in ticks since boot: with PID it names one process.
	Born  string `json:"born"`
	Steps []Step `json:"steps"`
	Error string `json:"error,omitempty"`
}

// Step is one thing that is done on the way up.
type Step struct {
	What  string        `json:"what"`
	After time.Duration `json:"after"` // since the start, nanoseconds
}

// Status is the cluster's state now. A PID 1 that was killed counts as down.
func (r *Rig) Status() (Status, error) {
	content, err := os.ReadFile(statusFile(r.Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return Status{Phase: Down}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read the cluster's state: %w", err)
	}
	var status Status
	if err := json.Unmarshal(content, &status); err != nil {
		return Status{}, fmt.Errorf("read the cluster's state in %s: %w", statusFile(r.Dir), err)
	}
	if born, err := bornAt(status.PID); err != nil || born != status.Born {
		return Status{Phase: Down}, nil
	}
	return status, nil
}

func statusFile(dir string) string { return filepath.Join(dir, "status.json") }

// write replaces the file in one step: readers see the old state or the new.
func (s Status) write(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	draft := statusFile(dir) + ".new"
	if err := os.WriteFile(draft, append(content, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, statusFile(dir))
}

// bornAt reads field 22, starttime, of /proc/PID/stat. The second field, the command, may hold spaces and brackets.
// A zombie counts as gone.
func bornAt(pid int) (string, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	rest := content[bytes.LastIndexByte(content, ')')+1:]
	fields := strings.Fields(string(rest))
	const state, startTime = 3 - 3, 22 - 3
	if len(fields) <= startTime {
		return "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return "", fs.ErrNotExist
	}
	return fields[startTime], nil
}
