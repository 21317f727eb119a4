package partner

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// Refuse is the result for a delivery that Encode leaves out.
func Refuse(d event.Delivery, o event.Outcome, code, message string) *Result {
	return &Result{EventID: d.Event.ID, Outcome: o, Code: code, Message: message}
}

// Read decodes settings or parameters, refusing unknown members, and says what
// is wrong without naming our types. What is absent leaves into as it is.
func Read(v jsontext.Value, into any) error {
	if len(v) == 0 {
		return nil
	}
	err := json.Unmarshal(v, into, json.RejectUnknownMembers(true))
	if se, ok := errors.AsType[*json.SemanticError](err); ok {
		reason := "has the wrong type"
		if errors.Is(err, json.ErrUnknownName) {
			reason = "is unknown"
		}
		return fmt.Errorf("%s %s", se.JSONPointer, reason)
	}
	return err
}

var (
	email = regexp.MustCompile(`(?i)[^\s@/?&=]+(@|%40)[^\s@/?&=]+\.[a-z]{2,}`)
	phone = regexp.MustCompile(`^\s*(\+[\d\s().-]{8,}|\(?\d{2,5}\)?[\s.-]\d{3,4}[\s.-]\d{3,4})\s*$`)
)

// Personal reports whether a text holds an e-mail address or is a telephone
// number. Digits alone are taken for an order number.
func Personal(s string) bool { return email.MatchString(s) || phone.MatchString(s) }

// Text makes a free text fit to be sent: valid UTF-8 without control
// characters, trimmed, at most max bytes; "" where it is Personal.
func Text(s string, max int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
	if Personal(s) {
		return ""
	}
	return Cut(s, max)
}

// Cut shortens s to at most max bytes without splitting a character.
func Cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// PageURL makes an address fit to be sent: http or https, without a user, a
// fragment or query parameters that hold personal data; "" if it is none.
func PageURL(s string, max int) string {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || !utf8.ValidString(s) {
		return ""
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	kept := make([]string, 0, 8)
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		plain, err := url.QueryUnescape(pair)
		_, value, _ := strings.Cut(plain, "=")
		if pair != "" && err == nil && !Personal(plain) && !Personal(value) {
			kept = append(kept, pair)
		}
	}
	u.RawQuery = strings.Join(kept, "&")
	if Personal(u.Path) {
		u.Path, u.RawPath = "/", ""
	}
	out := u.String()
	if len(out) > max {
		u.RawQuery = ""
		out = u.String()
	}
	if len(out) > max {
		return ""
	}
	return out
}

// IP is the address in its usual form, or "" if it is none.
func IP(s string) string {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil || a.Zone() != "" {
		return ""
	}
	return a.Unmap().String()
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// emptyDigest is the SHA-256 of nothing, a classic leak into match keys.
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Digest is s in lower case if it is a SHA-256 in hex of something, or "".
func Digest(s string) string {
	s = strings.ToLower(s)
	if s == emptyDigest || !digest.MatchString(s) {
		return ""
	}
	return s
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// GUID is s if it is a GUID with any digit but zero, or "".
func GUID(s string) string {
	if !guid.MatchString(s) || strings.Trim(s, "0-") == "" {
		return ""
	}
	return s
}

// Property is a scalar property of an event as text, "" if it is not there. A
// name may hold dots for nested objects and lists: "items.0.item_brand".
func Property(props jsontext.Value, name string) string {
	v := props
	for part := range strings.SplitSeq(name, ".") {
		if v = member(v, part); v == nil {
			return ""
		}
	}
	switch v.Kind() {
	case '"':
		s, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return ""
		}
		return string(s)
	case '0', 't', 'f':
		return string(v)
	}
	return ""
}

// member is what a value holds by that name or index, nil if nothing.
func member(v jsontext.Value, name string) jsontext.Value {
	kind := v.Kind()
	if kind != '{' && kind != '[' {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	for i := 0; d.PeekKind() != '}' && d.PeekKind() != ']'; i++ {
		found := strconv.Itoa(i) == name
		if kind == '{' {
			t, err := d.ReadToken()
			if err != nil {
				return nil
			}
			found = t.String() == name
		}
		val, err := d.ReadValue()
		if err != nil {
			return nil
		}
		if found {
			return val.Clone()
		}
	}
	return nil
}

// Happened is an event's time. A client's clock that runs ahead is not believed:
// no partner has use for events of the future.
func Happened(e event.Event) time.Time {
	if e.Time.IsZero() || !e.ReceivedAt.IsZero() && e.Time.After(e.ReceivedAt) {
		return e.ReceivedAt
	}
	return e.Time
}

// Currency is an ISO 4217 code in capitals, or "" where s has not the form of one.
func Currency(s string) string {
	if s = strings.ToUpper(strings.TrimSpace(s)); len(s) != 3 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return s
}

// Country is an ISO 3166-1 alpha-2 code in capitals, or "" where s has not the
// form of one.
func Country(s string) string {
	if s = strings.ToUpper(strings.TrimSpace(s)); len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	if s == "UK" {
		return "GB"
	}
	return s
}

// Number is an amount as a JSON number without zeros to spare: 99.5; "" if it is
// none.
func Number(a event.Amount) string {
	a, err := event.ParseAmount(string(a))
	if err != nil {
		return ""
	}
	v := string(a)
	if strings.Contains(v, ".") {
		v = strings.TrimSuffix(strings.TrimRight(v, "0"), ".")
	}
	if v == "-0" {
		return "0"
	}
	return v
}

// Units is the number of pieces of an order; 0 where it is not told in whole
// pieces.
func Units(items []event.Item) int64 {
	var sum int64
	for _, i := range items {
		if i.Quantity == "" {
			sum++
			continue
		}
		n, err := strconv.ParseInt(string(i.Quantity), 10, 32)
		if err != nil || n < 0 {
			return 0
		}
		if sum += n; sum > math.MaxInt32 {
			return 0
		}
	}
	return sum
}
