// Command sbom writes what a built binary consists of, as a CycloneDX document: the
// modules that were linked in, with the checksums that go.sum has of them.
//
//	go run .ci/sbom.go ./pixel > pixel.cdx.json
package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
	Ref     string `json:"bom-ref"`
	// Property: Go's "h1:" is a digest of a module's files and no plain hash of one.
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY")
		os.Exit(2)
	}
	info, err := buildinfo.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
	of := func(kind, path, version, sum string) component {
		purl := "pkg:golang/" + path + "@" + version
		c := component{Type: kind, Name: path, Version: version, PURL: purl, Ref: purl}
		if b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(b) == 32 {
			c.Properties = []property{{"golang:h1:sha256", hex.EncodeToString(b)}}
		}
		return c
	}
	list := []component{of("library", "std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, of("library", m.Path, m.Version, m.Sum))
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
		"metadata":   map[string]any{"component": of("application", info.Main.Path, info.Main.Version, "")},
		"components": list,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}
