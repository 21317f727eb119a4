package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one setting inside a Config.
type field struct {
	value  reflect.Value
	secret string // the secret tag: "true", or "url" where only its password is
}

// fields finds every setting of c by its key.
func fields(c *Config) map[string]field {
	out := map[string]field{}
	walk(reflect.ValueOf(c).Elem(), "", out)
	return out
}

func walk(v reflect.Value, path string, out map[string]field) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := path + f.Tag.Get("koanf")
		switch f.Type.Kind() {
		case reflect.Struct:
			walk(v.Field(i), key+".", out)
		case reflect.Map:
			for _, name := range v.Field(i).MapKeys() {
				walk(v.Field(i).MapIndex(name).Elem(), key+"."+name.String()+".", out)
			}
		default:
			out[key] = field{v.Field(i), f.Tag.Get("secret")}
		}
	}
}

// partnerField makes room for a partner that the defaults do not name, so that
// a new adapter needs no setting of its own here.
func partnerField(c *Config, known map[string]field, key string) (field, bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || parts[0] != "partners" {
		return field{}, false
	}
	p, ok := c.Partners[parts[1]]
	if !ok {
		p = &Partner{}
		c.Partners[parts[1]] = p
	}
	walk(reflect.ValueOf(p).Elem(), "partners."+parts[1]+".", known)
	f, ok := known[key]
	return f, ok
}

// set writes a value that came from YAML, the environment or a flag.
func (f field) set(v any) error {
	text := fmt.Sprint(v)
	if v == nil {
		text = ""
	}
	switch f.value.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("must be a duration such as 30s, 5m or 1h30m, not %q", text)
		}
		f.value.SetInt(int64(d))
	case string:
		f.value.SetString(text)
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("must be true or false, not %q", text)
		}
		f.value.SetBool(b)
	case int, int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q", text)
		}
		f.value.SetInt(n)
	case float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("must be a number, not %q", text)
		}
		f.value.SetFloat(n)
	case []string:
		list, err := words(v)
		if err != nil {
			return err
		}
		f.value.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("has a type that cannot be set: %s", f.value.Type())
	}
	return nil
}

// words reads a YAML list, or a comma-separated string.
func words(v any) ([]string, error) {
	var list []string
	switch v := v.(type) {
	case nil:
	case string:
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
	case []any:
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("must be a list of words, not %v", e)
			}
			list = append(list, s)
		}
	default:
		return nil, fmt.Errorf("must be a list of words, not %v", v)
	}
	return list, nil
}

// Keys lists every setting's key, in the order of the alphabet.
func Keys() []string {
	c := Default()
	keys := make([]string, 0, 64)
	for key := range fields(&c) {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// suggest names the known key that a misspelt one is closest to.
func suggest(key string, known map[string]field) string {
	best, distance := "", 4
	for k := range known {
		if d := editDistance(key, k); d < distance || d == distance && best != "" && k < best {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
