package main

import (
	"bytes"
	"os/exec"
	"testing"
)

// TestShort is the short form: the faults that are most likely, side by side.
// `make chaos` tries all of them.
func TestShort(t *testing.T) {
	if testing.Short() {
		t.Skip("breaks running processes for minutes")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("SKIPPED: redis-server is not installed, so nothing was broken")
	}
	var out bytes.Buffer
	err := run(t.Context(), &out, true, "", 3, false)
	t.Log(out.String())
	if err != nil {
		t.Error(err)
	}
}
