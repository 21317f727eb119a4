package cli

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// collectAt is how much the heap may grow, in percent of what is in use, before
	// it is searched for garbage. Go's own 100 suits programs that keep much; we keep
	// little and throw away a lot with each request, so that a collector spent a
	// tenth of its time searching.
	collectAt = 400
	// heapShare is how much of the memory that we may have is the heap's, before
	// garbage is searched for whatever collectAt says. SQLite's own memory and the
	// page cache of its files are in the rest.
	heapShare = 0.7
)

// useMemory sets both, unless GOGC and GOMEMLIMIT do. It reads what a container
// may have from files, of which the first that has a number counts.
func useMemory(getenv func(string) string, files ...string) (percent int, limit int64) {
	percent, limit = -1, -1
	if getenv("GOGC") == "" {
		percent = collectAt
		debug.SetGCPercent(percent)
	}
	if getenv("GOMEMLIMIT") == "" {
		if limit = allowed(files); limit > 0 {
			debug.SetMemoryLimit(limit)
		}
	}
	return percent, limit
}

// allowed is the heap's share of the container's memory, and -1 where it has no
// bound.
func allowed(files []string) int64 {
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/2 { // "max", in either version's words
			continue
		}
		return int64(float64(n) * heapShare)
	}
	return -1
}

// containers are where Linux says what memory a container may have: cgroups of
// version 2, and of version 1.
var containers = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}
