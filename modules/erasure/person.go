package erasure

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
)

// Identifier is what a request names a person by.
type Identifier struct {
	Kind  string `json:"kind"` // one of Kinds
	Value string `json:"value"`
}

// Kinds are what a person can be named by. An order's or an event's id names whoever
// it is of.
var Kinds = []string{"visitor_id", "user_id", "email", "phone", "email_sha256", "phone_sha256", "uid2", "maid", "tdid", "order_id", "event_id"}

// maxValue bounds an identifier, in characters.
const maxValue = 512

// Check says what is wrong with an identifier.
func (i Identifier) Check() error {
	switch {
	case !slices.Contains(Kinds, i.Kind):
		return fmt.Errorf("kind must be one of %s", strings.Join(Kinds, ", "))
	case strings.TrimSpace(i.Value) == "":
		return fmt.Errorf("value must be the person's %s", i.Kind)
	case utf8.RuneCountInString(i.Value) > maxValue:
		return fmt.Errorf("value must have at most %d characters", maxValue)
	}
	s := i.subject("")
	if strings.HasPrefix(i.Kind, "email") && s.Email == "" {
		return fmt.Errorf("value is no e-mail address and no SHA-256 of one")
	}
	if strings.HasPrefix(i.Kind, "phone") && s.PhoneE164 == "" && s.PhoneDigits == "" {
		return fmt.Errorf("value is no telephone number in international form (+44…) and no SHA-256 of one")
	}
	return nil
}

// subject is the identifier as events hold it.
func (i Identifier) subject(country string) event.Subject {
	in, v := event.Identity{}, strings.TrimSpace(i.Value)
	switch i.Kind {
	case "user_id":
		in.UserID = v
	case "email":
		in.Email = v
	case "phone":
		in.Phone = v
	case "email_sha256":
		in.EmailSHA256 = v
	case "phone_sha256":
		in.PhoneSHA256 = v
	case "uid2", "maid", "tdid":
		in.PartnerIDs = map[string]string{i.Kind: v}
	case "visitor_id":
		return event.Subject{AnonymousID: v, VisitorID: v}
	}
	return identity.Digest(in, country)
}

// Person is all that one person's events can be told by, at one pixel.
type Person struct {
	PixelID  string              `json:"pixel_id"`
	Visitors map[string]struct{} `json:"visitors"`
	// Names are customer ids, digests and device ids; all are long enough and of their
	// own kind enough never to be taken for one another.
	Names  map[string]struct{} `json:"names"`
	Events map[string]struct{} `json:"events"` // by id
}

func newPerson(pixel string) *Person {
	return &Person{PixelID: pixel, Visitors: map[string]struct{}{}, Names: map[string]struct{}{}, Events: map[string]struct{}{}}
}

// names are what a subject can be told by beside its visitor.
func names(s *event.Subject) []string {
	out := make([]string, 0, 8)
	add := func(kind, v string) {
		if v != "" {
			out = append(out, kind+":"+v)
		}
	}
	add("user", s.UserID)
	for _, v := range [...]string{s.Email, s.EmailGoogle, s.EmailCM360} {
		add("email", v)
	}
	for _, v := range [...]string{s.PhoneE164, s.PhoneDigits} {
		add("phone", v)
	}
	for _, kind := range [...]string{"uid2", "euid", "maid", "idfa", "aaid", "tdid"} {
		add(kind, s.PartnerIDs[kind])
	}
	return out
}

// Add takes in what an event says of the person it is of.
func (p *Person) Add(s *event.Subject) (news bool) {
	put := func(m map[string]struct{}, v string) {
		if _, ok := m[v]; !ok && v != "" {
			m[v], news = struct{}{}, true
		}
	}
	put(p.Visitors, s.AnonymousID)
	put(p.Visitors, s.VisitorID)
	for _, n := range names(s) {
		put(p.Names, n)
	}
	return news
}

// Is reports whether an event is of the person.
func (p *Person) Is(e *event.Event) bool {
	if e.PixelID != p.PixelID {
		return false
	}
	s := &e.Subject
	if has(p.Visitors, s.AnonymousID) || has(p.Visitors, s.VisitorID) || has(p.Events, e.ID) {
		return true
	}
	if len(p.Names) == 0 {
		return false
	}
	return slices.ContainsFunc(names(s), func(n string) bool { return has(p.Names, n) })
}

func has(m map[string]struct{}, v string) bool {
	_, ok := m[v]
	return ok && v != ""
}

// subjectOf is a name as an event would hold it.
func subjectOf(name string) event.Subject {
	kind, v, _ := strings.Cut(name, ":")
	switch kind {
	case "user":
		return event.Subject{UserID: v}
	case "email":
		return event.Subject{Email: v}
	case "phone":
		return event.Subject{PhoneE164: v}
	}
	return event.Subject{PartnerIDs: map[string]string{kind: v}}
}
