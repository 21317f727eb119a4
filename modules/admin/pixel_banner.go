package admin

import (
	"fmt"
	"strings"

	"github.com/miq/pixel/modules/settings"
)

// bannerTexts reads lines of language.text = words.
func bannerTexts(lines string) (map[string]map[string]string, error) {
	var texts map[string]map[string]string
	for i, line := range strings.Split(lines, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, words, ok := strings.Cut(line, "=")
		code, word, dot := strings.Cut(strings.ToLower(strings.TrimSpace(name)), ".")
		if !ok || !dot {
			return nil, settings.Invalid{{Field: "banner_texts", Message: fmt.Sprintf("must be lines such as de.title = Wir fragen zuerst; line %d is not", i+1)}}
		}
		if texts == nil {
			texts = map[string]map[string]string{}
		}
		if texts[code] == nil {
			texts[code] = map[string]string{}
		}
		texts[code][word] = strings.TrimSpace(words)
	}
	return texts, nil
}

func writeTexts(texts map[string]map[string]string) string {
	var b strings.Builder
	for _, code := range sortedKeys(texts) {
		for _, word := range sortedKeys(texts[code]) {
			fmt.Fprintf(&b, "%s.%s = %s\n", code, word, texts[code][word])
		}
	}
	return b.String()
}
