package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write docs/reference/configuration.md anew")

const reference = "../docs/reference/configuration.md"

// TestTheReferenceOfSettings holds docs/reference/configuration.md to the structs
// and to the sentences of config.yaml. `make reference` writes it anew.
func TestTheReferenceOfSettings(t *testing.T) {
	body, err := os.ReadFile("../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(body, &tree); err != nil {
		t.Fatal(err)
	}
	c := Default()
	known := fields(&c)
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Written by make reference from the config package and config.yaml; a test compares. -->

Each key is a line of ` + "`config.yaml`" + `, an environment variable and a flag (` + "`--redis.url=…`" + `). Flags override the environment,
which overrides the file. With ` + "`_FILE`" + ` after its name a variable names a file that holds the value, as orchestrators hand
out secrets: ` + "`PIXEL_SECRET_KEY_FILE=/run/secrets/key`" + `. A wrong or unknown setting stops the start with a line for each;
` + "`pixel config`" + ` prints what is in force. Durations are written 30s, 5m, 1h30m. Keys marked 🔒 are secrets: they are masked wherever
the configuration is shown.

| key | variable | kind | default | |
|---|---|---|---|---|
`)
	rows := 0
	var walk func(n *yaml.Node, path, above string)
	walk = func(n *yaml.Node, path, above string) {
		for i := 0; i < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			comment := sentence(name.HeadComment)
			if value.Kind == yaml.MappingNode {
				walk(value, path+name.Value+".", join(above, comment))
				continue
			}
			key := path + name.Value
			f, ok := known[key]
			if !ok {
				t.Errorf("config.yaml has %s, which is no setting", key)
				continue
			}
			lock := ""
			if f.secret != "" {
				lock = " 🔒"
			}
			if comment == "" {
				comment = above
			}
			if comment == "" {
				t.Errorf("config.yaml says nothing of %s", key)
			}
			fmt.Fprintf(&b, "| `%s`%s | `%s` | %s | %s | %s |\n", key, lock, EnvName(key), kind(f.value), shown(f.value), strings.ReplaceAll(comment, "|", `\|`))
			rows++
		}
	}
	walk(tree.Content[0], "", "")
	if rows != len(known) {
		t.Errorf("%d settings, and %d in config.yaml", len(known), rows)
	}
	hold(t, reference, b.String())
}

func hold(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the code says: run `make reference`, and read the difference (%v)", path, err)
	}
}

func sentence(comment string) string {
	var words []string
	for line := range strings.SplitSeq(comment, "\n") {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

func join(above, comment string) string {
	if comment == "" {
		return above
	}
	return comment
}

func kind(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return "duration"
	case []string:
		return "words"
	case bool:
		return "true or false"
	case float64:
		return "number"
	case int, int64:
		return "whole number"
	}
	return "text"
}

func shown(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return "`" + shortDuration(x) + "`"
	case []string:
		if len(x) == 0 {
			return "none"
		}
		return "`" + strings.Join(x, ", ") + "`"
	case string:
		if x == "" {
			return "empty"
		}
	}
	return fmt.Sprintf("`%v`", v.Interface())
}
