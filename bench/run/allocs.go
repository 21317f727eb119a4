package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

var allocsLine = regexp.MustCompile(`BenchmarkAccept/(\w+)-?\d*\s.*?(\d+) B/op\s+(\d+) allocs/op`)

// allocs is what a request allocates from its header to its answer, without a
// network and a store, by Go's own count.
func allocs(ctx context.Context) (map[string]any, error) {
	out, err := exec.CommandContext(ctx, "go", "test", "./modules/collector", "-run", "^$", "-bench", "^BenchmarkAccept$", "-benchmem", "-benchtime", "20000x").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("count allocations: %w: %s", err, out)
	}
	figures := map[string]any{}
	for _, m := range allocsLine.FindAllStringSubmatch(string(out), -1) {
		size, _ := strconv.Atoi(m[2])
		n, _ := strconv.Atoi(m[3])
		figures["allocs_"+m[1]], figures["alloc_bytes_"+m[1]] = n, size
		fmt.Printf("a request of %-6s allocates %3d times, %6d bytes\n", m[1]+":", n, size)
	}
	return figures, nil
}
