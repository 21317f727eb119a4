package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// mask stands for a secret that is set.
const mask = "********"

// Print writes the configuration as YAML, secrets masked.
func (c Config) Print(w io.Writer) error {
	node, err := toYAML(reflect.ValueOf(c), "")
	if err != nil {
		return err
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return err
	}
	return enc.Close()
}

// toYAML keeps the order of the struct's fields, which a map would lose.
func toYAML(v reflect.Value, secret string) (*yaml.Node, error) {
	n := &yaml.Node{}
	switch x := v.Interface().(type) {
	case time.Duration:
		return n, n.Encode(shortDuration(x))
	case string:
		return n, n.Encode(masked(x, secret))
	case map[string]*Partner:
		return n, n.Encode(x)
	}
	if v.Kind() != reflect.Struct {
		if err := n.Encode(v.Interface()); err != nil {
			return nil, err
		}
		n.Style = yaml.FlowStyle
		return n, nil
	}
	n.Kind = yaml.MappingNode
	for i := range v.NumField() {
		f := v.Type().Field(i)
		child, err := toYAML(v.Field(i), f.Tag.Get("secret"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Tag.Get("koanf")}, child)
	}
	return n, nil
}

func masked(s, secret string) string {
	switch {
	case secret == "" || s == "":
		return s
	case secret == "url":
		return maskedURL(s)
	}
	return mask
}

// shortDuration writes 1h0m0s as 1h.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
