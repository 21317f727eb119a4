// Package identity says who an event is about: it makes digests of personal data
// by every rule that a partner has, and holds a visitor's events together.
package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode"

	"github.com/miq/pixel/modules/event"
)

// Digest turns what a page says of a visitor into what we keep: ids, and a
// SHA-256 by each rule that a partner has. It is the only reader of the plain
// values, and keeps none of them. country (ISO 3166-1 alpha-2) is where the site
// sells; it helps to read a national phone number whose address names none.
//
// A value that is a SHA-256 already, 64 hexadecimal digits of either case or its 32
// bytes in base64, is never hashed again; one that normalises to nothing, or that
// nobody has, such as none@none.com and 0000000000, gives no digest, ready or not. A
// plain value counts before a ready digest of the same thing, whose rule we cannot
// know.
func Digest(in event.Identity, country string) event.Subject {
	s := event.Subject{
		AnonymousID: in.AnonymousID,
		UserID:      customer(in.UserID),
		ClickIDs:    in.ClickIDs,
		PartnerIDs:  in.PartnerIDs,
	}
	if in.Email != "" || in.EmailSHA256 != "" {
		if s.Email, s.EmailGoogle, s.EmailCM360 = email(in.Email); s.Email == "" {
			// Few addresses differ between the rules, so one digest serves all.
			s.Email = ready(in.EmailSHA256)
			s.EmailGoogle = s.Email
		}
	}
	a := in.Address
	if a != (event.Address{}) {
		postal := func(v string) string { return without(strings.ToLower(v), unicode.IsSpace) }
		s.FirstName = by(alphanumeric, a.FirstName)
		s.LastName = by(alphanumeric, a.LastName)
		s.Street = by(alphanumeric, a.Street)
		s.City = by(alphanumeric, a.City)
		s.Region = by(alphanumeric, a.Region)
		s.PostalCode = by(postal, a.PostalCode)
		s.Country = Country(a.Country)
		s.FirstNameGoogle = other(by(postal, a.FirstName), s.FirstName)
		s.LastNameGoogle = other(by(func(v string) string { return strings.TrimSpace(without(strings.ToLower(v), unicode.IsPunct)) }, a.LastName), s.LastName)
		s.StreetGoogle = other(by(func(v string) string { return strings.ToLower(strings.TrimSpace(v)) }, a.Street), s.Street)
		if s.FirstName != "" && s.LastName != "" && s.PostalCode != "" && s.Country != "" {
			s.Locality = event.Locality{City: place(a.City), Region: place(a.Region), PostalCode: place(a.PostalCode)}
		}
	}
	if in.Phone != "" || in.PhoneSHA256 != "" {
		if s.Country != "" {
			country = s.Country
		}
		if s.PhoneE164, s.PhoneDigits = phone(in.Phone, country); s.PhoneE164 == "" {
			// Most that hash by themselves hash E.164; as digits it would be a guess.
			s.PhoneE164 = ready(in.PhoneSHA256)
		}
	}
	return s
}

// by is a value's digest by a rule; one that came as a digest stays, and junk has none.
func by(rule func(string) string, value string) string {
	if r := ready(value); r != "" {
		return r
	}
	if unfilled[strings.ToLower(strings.TrimSpace(value))] {
		return ""
	}
	return sum(rule(value))
}

// customer is the advertiser's own id. Where that is an e-mail address, as in
// some shops, its digest stands for it: an id has to tell customers apart, not
// to name them.
func customer(id string) string {
	id = strings.TrimSpace(id)
	if !strings.Contains(id, "@") {
		return event.HideID(id) // a telephone number
	}
	if plain, _, _ := email(id); plain != "" {
		return plain
	}
	return sum(id)
}

// place is a part of an address in clear; what is no such part, such as a digest
// that was made before, is left out.
func place(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 64 || ready(s) != "" || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

// other is a digest where it differs from one that is kept anyway.
func other(digest, kept string) string {
	if digest == kept {
		return ""
	}
	return digest
}

// email returns the digests by the plain rule (trimmed, lower case), by Google's
// (no white space at all; at gmail no dots and no +suffix either) and, where it
// differs from that, by Campaign Manager 360's (at gmail no dots).
func email(s string) (plain, google, cm360 string) {
	if r := ready(s); r != "" {
		return r, r, ""
	}
	s = strings.ToLower(strings.TrimSpace(s))
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || !strings.Contains(strings.Trim(domain, "."), ".") || strings.Contains(domain, "@") || junkMail(local, s) {
		return "", "", "" // "none", "n/a", and what else is typed into such fields
	}
	plain = sum(s)
	if domain != "gmail.com" && domain != "googlemail.com" {
		if !strings.ContainsFunc(s, unicode.IsSpace) {
			return plain, plain, ""
		}
		return plain, sum(without(s, unicode.IsSpace)), ""
	}
	local = without(local, func(r rune) bool { return r == '.' || unicode.IsSpace(r) })
	name, _, suffixed := strings.Cut(local, "+")
	if suffixed {
		cm360 = sum(local + "@" + domain)
	}
	if name == "" {
		return plain, "", cm360
	}
	return plain, sum(name + "@" + domain), cm360
}

// ready returns a SHA-256 that came as one, in lower-case hex, or "".
func ready(s string) string {
	s = strings.TrimSpace(s)
	switch len(s) {
	case 64:
		s = strings.ToLower(s)
		for i := range len(s) {
			if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return ""
			}
		}
	case 43, 44:
		b, err := base64.RawStdEncoding.DecodeString(standard.Replace(strings.TrimSuffix(s, "=")))
		if err != nil || len(b) != sha256.Size {
			return ""
		}
		s = hex.EncodeToString(b)
	default:
		return ""
	}
	if emptyDigests[s] {
		return ""
	}
	return s
}

// standard turns base64's other alphabet into the usual one.
var standard = strings.NewReplacer("-", "+", "_", "/")

// Base64 is a digest as UID2 and EUID want it: its 32 bytes in base64. Theirs is
// Google's rule for e-mail addresses, and E.164 with its plus for telephones.
func Base64(digest string) string {
	b, err := hex.DecodeString(digest)
	if err != nil || len(b) != sha256.Size {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// sum is the digest of a normalised value, in lower-case hex.
func sum(s string) string {
	if s == "" || unfilled[s] {
		return ""
	}
	if len(s) == 64 || len(s) == 43 || len(s) == 44 {
		if r := ready(s); r != "" || emptyDigests[strings.ToLower(s)] {
			return r
		}
	}
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

// alphanumeric keeps letters and digits, in lower case: "123 Main St." is
// "123mainst". Letters of any script count.
func alphanumeric(s string) string {
	return without(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) })
}

func without(s string, drop func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if drop(r) {
			return -1
		}
		return r
	}, s)
}

// Country returns an ISO 3166-1 alpha-2 code in capitals, or "" where s is none.
func Country(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if s == "UK" {
		return "GB"
	}
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return ""
	}
	return s
}
