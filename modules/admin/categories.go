package admin

import (
	"fmt"
	"strings"

	"github.com/miq/pixel/modules/settings"
)

// categoriesOf reads lines of category = signal, signal: what the categories of a
// Segment client's consent stand for.
func categoriesOf(lines string) (map[string][]string, error) {
	var out map[string][]string
	for i, line := range strings.Split(lines, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, signals, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, settings.Invalid{{Field: "segment_categories", Message: fmt.Sprintf("must be lines such as Marketing = ad_storage, ad_user_data; line %d is not", i+1)}}
		}
		if out == nil {
			out = map[string][]string{}
		}
		out[name] = strings.FieldsFunc(signals, func(r rune) bool { return r == ',' || r == ' ' || r == '\r' || r == '\t' })
	}
	return out, nil
}

func writeCategories(m map[string][]string) string {
	var b strings.Builder
	for _, name := range sortedKeys(m) {
		fmt.Fprintf(&b, "%s = %s\n", name, strings.Join(m[name], ", "))
	}
	return b.String()
}
