package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// Problem is one wrong setting.
type Problem struct {
	Key     string // "collector.addr"; empty where the whole file is at fault
	Message string
}

func (p Problem) String() string {
	if p.Key == "" {
		return p.Message
	}
	return p.Key + ": " + p.Message
}

// Invalid lists everything that is wrong, a line each.
type Invalid []Problem

func (v Invalid) Error() string {
	lines := make([]string, len(v))
	for i, p := range v {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (v *Invalid) add(key, format string, args ...any) {
	*v = append(*v, Problem{key, fmt.Sprintf(format, args...)})
}

// Sources is where settings come from, each overriding the one before.
type Sources struct {
	// File is the path of a YAML file. A missing file is a problem only if it
	// was Named by somebody.
	File  string
	Named bool
	// Environ are "KEY=value" pairs, as of os.Environ.
	Environ []string
	// Flags are keys set on the command line.
	Flags map[string]string
}

// Load reads and checks the configuration. The error is an Invalid with every
// problem at once.
func Load(src Sources) (Config, error) {
	var bad Invalid
	k := koanf.New(".")
	body, err := os.ReadFile(src.File)
	switch {
	case err == nil:
		if err := k.Load(rawbytes.Provider(body), yaml.Parser()); err != nil {
			bad.add("", "%s: %v", src.File, err)
		}
	case src.Named || !errors.Is(err, os.ErrNotExist):
		bad.add("", "the settings file cannot be read: %v", err)
	}
	_ = k.Load(confmap.Provider(fromEnviron(src.Environ, &bad), "."), nil)
	flags := make(map[string]any, len(src.Flags))
	for key, v := range src.Flags {
		flags[key] = v
	}
	_ = k.Load(confmap.Provider(flags, "."), nil)

	c := Default()
	known := fields(&c)
	for _, key := range k.Keys() {
		f, ok := known[key]
		if !ok {
			f, ok = partnerField(&c, known, key)
		}
		if !ok {
			bad.add(key, "there is no such setting%s", suggest(key, known))
			continue
		}
		if err := f.set(k.Get(key)); err != nil {
			bad.add(key, "%v", err)
		}
	}
	c.DataDir = strings.TrimRight(c.DataDir, "/")
	c.Archive.URL = strings.ReplaceAll(c.Archive.URL, "{data_dir}", c.DataDir)
	c.check(&bad)
	if len(bad) > 0 {
		slices.SortStableFunc(bad, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
		return c, bad
	}
	return c, nil
}

// prefix begins the name of every environment variable that is a setting.
const prefix = "PIXEL_"

// EnvName is the environment variable of a key: PIXEL_REDIS_URL for redis.url.
func EnvName(key string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// inFile ends the name of an environment variable that names a file with the
// value, as orchestrators hand out secrets: PIXEL_REDIS_URL_FILE.
const inFile = "_FILE"

func fromEnviron(environ []string, bad *Invalid) map[string]any {
	c := Default()
	known := fields(&c)
	byName := make(map[string]string, len(known))
	for key := range known {
		byName[EnvName(key)] = key
	}
	out, files := map[string]any{}, map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix) || foreign(name) {
			continue
		}
		if key, ok := byName[name]; ok {
			out[key] = value
		} else if key, ok := byName[strings.TrimSuffix(name, inFile)]; ok {
			files[key] = value
		} else {
			bad.add(name, "no setting has this environment variable")
		}
	}
	for key, path := range files {
		if _, twice := out[key]; twice {
			bad.add(key, "is set twice in the environment, by %s and by %s", EnvName(key), EnvName(key)+inFile)
			continue
		}
		body, err := os.ReadFile(path)
		if err != nil {
			bad.add(key, "%s: %v", EnvName(key)+inFile, err)
			continue
		}
		out[key] = strings.TrimRight(string(body), "\r\n")
	}
	return out
}

// foreign names begin with our prefix but are not ours: what Kubernetes adds for
// a service called "pixel", and what our own tests read.
func foreign(name string) bool {
	return strings.HasPrefix(name, "PIXEL_SERVICE_") || name == "PIXEL_PORT" ||
		strings.HasPrefix(name, "PIXEL_PORT_") || strings.HasPrefix(name, "PIXEL_TEST_")
}
