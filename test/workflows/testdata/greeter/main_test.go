package main

import (
	"strings"
	"testing"
)

func TestGreeting_tellsTheVersion(t *testing.T) {
	if !strings.Contains(greeting(), version) {
		t.Errorf("greeting %q does not tell version %s", greeting(), version)
	}
}
