// Command build bundles the tag's sources into dist, byte for byte the same
// each time. It is what `go generate ./sdk` runs, in package sdk's folder.
//
// The parts go first, since the scripts that load them name their digests: who
// pins the script by its integrity pins the parts with it.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/evanw/esbuild/pkg/api"
)

// parts are loaded by the tag where a page needs them; those of parts by the extras.
var parts = []map[string]string{
	{"cross": "src/cross.ts"},
	{"cmp": "src/cmp/cmp.ts", "gcm": "src/gcm/gcm.ts", "banner": "src/banner/banner.ts", "extras": "src/extras.ts"},
}

func main() {
	out := flag.String("out", "dist", "where the bundles go")
	flag.Parse()
	if err := build(*out); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(out string) error {
	version, err := version()
	if err != nil {
		return err
	}
	define := map[string]string{"VERSION": fmt.Sprintf("%q", version)}
	for _, level := range parts {
		digests := map[string]string{}
		for name, source := range level {
			body, err := bundle(source, api.FormatIIFE, define)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(body)
			digests[name] = base64.StdEncoding.EncodeToString(sum[:])
			if err := os.WriteFile(filepath.Join(out, name+".js"), body, 0o644); err != nil {
				return err
			}
		}
		integrity, err := json.Marshal(digests) // with its keys in order
		if err != nil {
			return err
		}
		define["INTEGRITY"] = string(integrity) // of what those after may load
	}
	for file, s := range map[string]struct {
		source string
		format api.Format
	}{
		"sdk.js":  {"src/tag.ts", api.FormatIIFE},
		"sdk.mjs": {"src/module.ts", api.FormatESModule},
	} {
		body, err := bundle(s.source, s.format, define)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, file), body, 0o644); err != nil {
			return err
		}
	}
	types, err := os.ReadFile("src/sdk.d.ts")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "sdk.d.ts"), types, 0o644)
}

var declared = regexp.MustCompile(`(?m)^const Version = "([^"]+)"$`)

// version reads what sdk.go declares. It cannot be imported: sdk embeds dist.
func version() (string, error) {
	source, err := os.ReadFile("sdk.go")
	if err != nil {
		return "", err
	}
	found := declared.FindSubmatch(source)
	if found == nil {
		return "", fmt.Errorf("sdk.go declares no Version")
	}
	return string(found[1]), nil
}

// private are names of properties that stay inside a bundle: neither on the wire
// nor in storage, no command and nothing that a part is given. They are shortened
// like variables, which is worth 1% of the core.
const private = `^(adopt|park|leave|left|phase|hold|kind|who|post|image|wait|tries|flush)$`

func bundle(source string, format api.Format, define map[string]string) ([]byte, error) {
	r := api.Build(api.BuildOptions{
		EntryPoints: []string{source},
		Bundle:      true, Format: format, Target: api.ES2020, Charset: api.CharsetUTF8,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true,
		// The tag is written for strict mode and works without: it need not say so.
		Define: define, TsconfigRaw: `{"compilerOptions":{"verbatimModuleSyntax":true}}`,
		MangleProps: private,
		Plugins:     []api.Plugin{styles},
		LogLevel:    api.LogLevelWarning,
	})
	if len(r.Errors) > 0 {
		return nil, fmt.Errorf("%s: %s", source, r.Errors[0].Text)
	}
	return r.OutputFiles[0].Contents, nil
}

// styles makes of an imported style sheet its text, minified.
var styles = api.Plugin{Name: "styles", Setup: func(b api.PluginBuild) {
	b.OnLoad(api.OnLoadOptions{Filter: `\.css$`}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		source, err := os.ReadFile(a.Path)
		if err != nil {
			return api.OnLoadResult{}, err
		}
		r := api.Transform(string(source), api.TransformOptions{Loader: api.LoaderCSS, MinifyWhitespace: true, MinifySyntax: true})
		if len(r.Errors) > 0 {
			return api.OnLoadResult{}, fmt.Errorf("%s: %s", a.Path, r.Errors[0].Text)
		}
		text := string(r.Code)
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderText}, nil
	})
}}
