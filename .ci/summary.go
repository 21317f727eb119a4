// Command summary reads `go test -json` and says in plain words what ran, what
// failed, what failed at first and passed when it was run again alone, and what
// could not run, ending in a line of counts.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

type line struct{ Action, Package, Test, Output string }

type key struct{ pkg, test string }

func main() {
	passed, failed, skipped := 0, 0, map[key]string{}
	out := map[key]*strings.Builder{}
	packages := map[string]bool{}
	broken, again := map[key]bool{}, map[key]bool{}
	for _, path := range os.Args[1:] {
		f, err := os.Open(path)
		if err != nil {
			fmt.Printf("%s was not run\n", path)
			continue
		}
		in := bufio.NewScanner(f)
		in.Buffer(nil, 16<<20)
		first := maps.Clone(broken) // what failed in this file can pass in this file alone
		for in.Scan() {
			var l line
			if json.Unmarshal(in.Bytes(), &l) != nil {
				continue
			}
			k := key{strings.TrimPrefix(l.Package, "github.com/miq/pixel/"), l.Test}
			switch l.Action {
			case "output":
				if out[k] == nil {
					out[k] = &strings.Builder{}
				}
				out[k].WriteString(l.Output)
			case "pass":
				if l.Test != "" {
					passed++
				}
				packages[k.pkg] = true
				if broken[k] && !first[k] {
					delete(broken, k)
					again[k] = true
				}
			case "fail":
				broken[k] = true
			case "skip":
				if l.Test != "" {
					skipped[k] = reason(text(out[k]))
				}
			}
		}
		if err := in.Err(); err != nil {
			fmt.Println(path, err)
			failed++
		}
		f.Close()
	}
	for _, k := range sorted(broken) {
		if k.test != "" || strings.Contains(text(out[k]), "[build failed]") || strings.Contains(text(out[k]), "panic:") {
			failed++
		}
		fmt.Printf("\n--- FAILED %s %s\n%s", k.pkg, k.test, text(out[k]))
	}
	for _, k := range sorted(out) {
		for _, l := range strings.Split(text(out[k]), "\n") {
			if _, figure, ok := strings.Cut(l, "FIGURE "); ok {
				fmt.Printf("%s: %s\n", k.pkg, figure)
			}
		}
	}
	fmt.Printf("\nTests of %d packages ran.\n", len(packages))
	if len(skipped) == 0 {
		fmt.Println("Nothing was skipped.")
	} else {
		byReason := map[string][]string{}
		for k, why := range skipped {
			byReason[why] = append(byReason[why], k.test)
		}
		fmt.Println("Could not run, or was asked not to:")
		for why, tests := range byReason {
			slices.Sort(tests)
			fmt.Printf("  %s\n    %s\n", why, strings.Join(tests, ", "))
		}
	}
	if len(again) > 0 {
		fmt.Println("Failed beside the others, and passed when run again alone (a defect of the test or, worse, of what it tests):")
		for _, k := range sorted(again) {
			if k.test != "" {
				fmt.Printf("  %s %s\n%s", k.pkg, k.test, complaints(text(out[k])))
			}
		}
	}
	if len(broken) > 0 {
		fmt.Println("Failed:")
		for _, k := range sorted(broken) {
			fmt.Printf("  %s %s\n%s", k.pkg, k.test, complaints(text(out[k])))
		}
	}
	fmt.Printf("\n%d passed, %d failed, %d skipped\n", passed, failed, len(skipped))
	if failed > 0 || len(broken) > 0 || passed == 0 {
		os.Exit(1)
	}
}

func text(b *strings.Builder) string {
	if b == nil {
		return ""
	}
	return b.String()
}

// complaint is where and what a test complains of.
var complaint = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)

// complaints are the first of what a test complained of.
func complaints(out string) string {
	var b strings.Builder
	for n := 0; n < 5 && out != ""; {
		var l string
		l, out, _ = strings.Cut(out, "\n")
		if complaint.MatchString(l) || strings.HasPrefix(l, "panic:") {
			fmt.Fprintf(&b, "    %.300s\n", strings.TrimSpace(l))
			n++
		}
	}
	return b.String()
}

// reason is the last line a skipped test logged, without its place.
func reason(out string) string {
	why := "no reason given"
	for _, l := range strings.Split(out, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "---") || strings.HasPrefix(l, "===") {
			continue
		}
		if _, rest, ok := strings.Cut(l, ".go:"); ok {
			if _, msg, ok := strings.Cut(rest, ": "); ok {
				l = msg
			}
		}
		why = l
	}
	return why
}

func sorted[V any](m map[key]V) []key {
	return slices.SortedFunc(maps.Keys(m), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
}
