package cli

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func TestTheHeapKeepsToTheContainersMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "memory.max")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, tt := range map[string]struct {
		env     map[string]string
		files   []string
		percent int
		limit   int64
	}{
		"no container":           {nil, []string{"/nowhere"}, collectAt, -1},
		"no bound":               {nil, []string{file("max\n")}, collectAt, -1},
		"no bound, version 1":    {nil, []string{"/nowhere", file("9223372036854771712\n")}, collectAt, -1},
		"a small container":      {nil, []string{file("100000000\n")}, collectAt, 70000000},
		"version 1":              {nil, []string{"/nowhere", file("100000000\n")}, collectAt, 70000000},
		"the environment says":   {map[string]string{"GOGC": "50", "GOMEMLIMIT": "1GiB"}, []string{file("100000000\n")}, -1, -1},
		"half of it":             {map[string]string{"GOGC": "50"}, []string{file("100000000\n")}, -1, 70000000},
		"what nobody can follow": {nil, []string{file("lots\n")}, collectAt, -1},
	} {
		debug.SetMemoryLimit(math.MaxInt64)
		percent, limit := useMemory(func(k string) string { return tt.env[k] }, tt.files...)
		if percent != tt.percent || limit != tt.limit {
			t.Errorf("%s: %d %% and %d bytes, want %d and %d", name, percent, limit, tt.percent, tt.limit)
		}
		if want := tt.limit; want > 0 && debug.SetMemoryLimit(-1) != want {
			t.Errorf("%s: the limit is %d", name, debug.SetMemoryLimit(-1))
		}
	}
}
