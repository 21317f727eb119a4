package admin

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// How figures are said to people.

// number writes any number with thousands apart.
func number(v any) string {
	switch n := v.(type) {
	case int:
		return thousands(float64(n))
	case int64:
		return thousands(float64(n))
	case uint64:
		return thousands(float64(n))
	case float64:
		return thousands(n)
	}
	return fmt.Sprint(v)
}

func thousands(f float64) string {
	s := strconv.FormatFloat(math.Round(f), 'f', -1, 64)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "−", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func percent(f float64) string {
	switch p := f * 100; {
	case p > 0 && p < 0.1:
		return "<0.1%"
	case p > 99.9 && p < 100:
		return ">99.9%"
	case p == math.Trunc(p) || p >= 10:
		return strconv.FormatFloat(math.Round(p*10)/10, 'f', -1, 64) + "%"
	default:
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	}
}

// ago says how long ago something was.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	if d < time.Second {
		return "just now"
	}
	return age(d.Seconds()) + " ago"
}

// age says a duration in its greatest unit, or two where the second matters.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 10*time.Hour:
		if m := int(d.Minutes()) % 60; m > 0 {
			return fmt.Sprintf("%d h %d min", int(d.Hours()), m)
		}
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

var signs = map[string]string{"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}

// money writes an amount in a currency; no currency is no sign.
func money(v any, currency string) string {
	var text string
	switch n := v.(type) {
	case event.Amount:
		text = grouped(n.Fixed())
	case string:
		text = grouped(event.Amount(n).Fixed())
	case float64:
		text = grouped(strconv.FormatFloat(n, 'f', 2, 64))
	}
	if text == "" {
		return ""
	}
	if currency == "JPY" {
		text = strings.TrimSuffix(text, ".00")
	}
	if sign, ok := signs[currency]; ok {
		if rest, negative := strings.CutPrefix(text, "−"); negative {
			return "−" + sign + rest
		}
		return sign + text
	}
	return strings.TrimSpace(text + " " + currency)
}

// grouped sets thousands apart without passing through a float.
func grouped(s string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		sign, s = "−", rest
	}
	whole, fraction, point := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + fraction
	}
	return sign + whole
}

// indented lays JSON out for reading; what is none stays as it is.
func indented(v any) string {
	var raw jsontext.Value
	switch b := v.(type) {
	case jsontext.Value:
		raw = b.Clone()
	case []byte:
		raw = jsontext.Value(b).Clone()
	case string:
		raw = jsontext.Value(b)
	}
	was := text(raw)
	if len(raw) == 0 || raw.Indent(jsontext.WithIndent("  "), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return was
	}
	return text(raw)
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

func they(n int) string {
	if n == 1 {
		return "it is"
	}
	return "they are"
}

// longWord is how many letters of a word stand together in a narrow column.
const longWord = 20

// soft lets a name be broken after what joins its words, and within a word only where
// that is long.
func soft(v any) template.HTML {
	var b strings.Builder
	letters := 0
	for _, r := range fmt.Sprint(v) {
		if letters == longWord {
			b.WriteString("<wbr>")
			letters = 0
		}
		template.HTMLEscape(&b, []byte(string(r)))
		letters++
		switch r {
		case ' ':
			letters = 0
		case '_', '.', '/', ':', '-', '=', '&', '?', ']':
			b.WriteString("<wbr>")
			letters = 0
		}
	}
	return template.HTML(b.String()) //nolint:gosec // what came in is escaped, letter by letter
}
