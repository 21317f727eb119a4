package cli_test

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// allowed are licences under which a static binary may be given to anybody, by
// words of their texts.
var allowed = []struct {
	name string
	text *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`(?i)apache license,?\s+version 2\.0`)},
	{"MPL-2.0", regexp.MustCompile(`(?i)mozilla public license,?\s+(version|v\.?) ?2\.0`)},
	{"BSD", regexp.MustCompile(`(?i)redistribution and use in source and binary forms`)},
	{"MIT", regexp.MustCompile(`(?i)permission is hereby granted, free of charge, to any person`)},
	{"ISC", regexp.MustCompile(`(?i)permission to use, copy, modify, and(/or)? distribute this software for any\s+purpose`)},
	{"Unlicense", regexp.MustCompile(`(?i)this is free and unencumbered software released into the public domain`)},
}

// forbidden would bind who gets the binary.
var forbidden = regexp.MustCompile(`(?i)gnu (affero |lesser )?general public license|server side public license|business source license|commons clause`)

// TestEveryModuleInTheBinaryMayBeGivenAway reads the licence of each module that is
// linked in, in the module cache.
func TestEveryModuleInTheBinaryMayBeGivenAway(t *testing.T) {
	info, err := buildinfo.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Deps) < 20 {
		t.Fatalf("only %d modules", len(info.Deps))
	}
	counts := map[string]int{}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		dir := filepath.Join(strings.TrimSpace(string(cache)), escaped(m.Path)+"@"+escaped(m.Version))
		name := licence(t, dir)
		counts[name]++
		if name == "" {
			t.Errorf("%s@%s: no licence that is on the list (%s)", m.Path, m.Version, dir)
		}
	}
	t.Logf("%d modules: %v", len(info.Deps), counts)
}

// escaped is a module's path as the cache writes it: capitals as "!" and the letter.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func licence(t *testing.T, dir string) string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"LICEN[SC]E*", "COPYING*", "licen[sc]e*", "UNLICENSE*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		files = append(files, found...)
	}
	for _, path := range files {
		body, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if forbidden.Match(body[:min(len(body), 2000)]) && !bytes.Contains(body, []byte("Mozilla Public License")) {
			return ""
		}
		for _, l := range allowed {
			if l.text.Match(body) {
				return l.name
			}
		}
	}
	return ""
}
