package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The limits of what a client may send.
const (
	MaxEventBytes    = 32 << 10 // one event, as JSON
	MaxEventDepth    = 16       // objects and arrays inside one another in an event
	MaxIDLength      = 128      // ids of events, visitors and customers
	MaxConsentString = 16 << 10 // TCF, GPP and additional consent, each

	maxURL       = 8 << 10
	maxTitle     = 1 << 10
	maxShort     = 128
	maxExternal  = 32      // click ids and partner ids, each
	maxExternalN = 64      // the length of such an id's name
	maxExternalV = 1 << 10 // the length of such an id
	maxSections  = 64
	maxScreen    = 1 << 16
)

// Fault is what is wrong with one field of what a client sent.
type Fault struct {
	Pointer string // a JSON pointer, "/events/3/name"
	Code    string // short and stable, for programs
	Message string // what would be right
}

func (f Fault) Error() string { return strings.TrimPrefix(f.Pointer+" "+f.Message, " ") }

// In returns the fault of a part seen from the whole.
func (f Fault) In(pointer string) Fault {
	f.Pointer = pointer + f.Pointer
	return f
}

var errTime = errors.New("must be a time by RFC 3339, such as 2026-11-22T10:00:00.000Z")

func parseTime(s string) (time.Time, error) {
	if len(s) > 40 {
		return time.Time{}, errTime
	}
	if t, ok := isoTime(s); ok {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errTime
	}
	return t.UTC(), nil
}

// isoTime reads a time as browsers write it (toISOString), and no other.
func isoTime(s string) (t time.Time, ok bool) {
	if len(s) != len("2006-01-02T15:04:05.000Z") ||
		s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[23] != 'Z' {
		return t, false
	}
	two := func(i int) int {
		tens, units := s[i]-'0', s[i+1]-'0'
		if tens > 9 || units > 9 {
			return 100
		}
		return int(tens)*10 + int(units)
	}
	century, year, month, day, hour, minute, second := two(0), two(2), two(5), two(8), two(11), two(14), two(17)
	hundredths, milli := two(20), s[22]-'0'
	if century > 99 || year > 99 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 || hundredths > 99 || milli > 9 {
		return t, false
	}
	t = time.Date(century*100+year, time.Month(month), day, hour, minute, second, hundredths*1e7+int(milli)*1e6, time.UTC)
	return t, day <= 28 || t.Day() == day // the 30th of February would be in March
}

// ValidID reports whether s can be an id: 1 to MaxIDLength printable ASCII
// characters without spaces.
func ValidID(s string) bool {
	if len(s) == 0 || len(s) > MaxIDLength {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Check refuses what would be wrong to guess at, and cuts what is merely too
// long: a page's endless title must not cost a purchase. It takes e-mail
// addresses out of what describes the page.
func (e *Envelope) Check() error { return e.check(false) }

func (e *Envelope) check(unmarked bool) error {
	for _, s := range [...]struct{ pointer, value string }{
		{"/consent/tcf", e.Consent.TCF}, {"/consent/gpp", e.Consent.GPP}, {"/consent/addtl_consent", e.Consent.AddtlConsent},
	} {
		// A cut string would say something else than the visitor did.
		if len(s.value) > MaxConsentString {
			return Fault{s.pointer, "too_long", fmt.Sprintf("must be at most %d bytes", MaxConsentString)}
		}
	}
	if len(e.Consent.GPPSID) > maxSections {
		return Fault{"/consent/gpp_sid", "too_long", fmt.Sprintf("must hold at most %d sections", maxSections)}
	}
	if id := e.Identity.AnonymousID; id != "" && !ValidID(id) {
		return Fault{"/identity/anonymous_id", "invalid_id", invalidID}
	}
	if id := e.Identity.UserID; len(id) > MaxIDLength {
		return Fault{"/identity/user_id", "invalid_id", fmt.Sprintf("must be at most %d bytes", MaxIDLength)}
	}
	c := &e.Consent
	for _, s := range []*string{&c.USPrivacy, (*string)(&c.State), &c.GCM.AdStorage, &c.GCM.AdUserData, &c.GCM.AdPersonalization, &c.GCM.AnalyticsStorage} {
		cut(s, maxShort)
	}
	if !unmarked {
		e.Identity.AnonymousID = HideID(e.Identity.AnonymousID)
	}
	e.Cleaned = e.Context.trim(unmarked)
	e.Identity.ClickIDs = external(e.Identity.ClickIDs)
	e.Identity.PartnerIDs = external(e.Identity.PartnerIDs)
	return nil
}

func (c *Context) trim(unmarked bool) (found Cleaned) {
	p := &c.Page
	var there Cleaned
	p.URL, found = CleanURL(p.URL, nil)
	p.Referrer, there = CleanURL(p.Referrer, nil)
	found |= there
	short := [...]*string{&c.Locale, &c.Timezone, &c.SDK.Name, &c.SDK.Version, &c.Tab, &c.Touch.First.Referrer, &c.Touch.Last.Referrer}
	if !unmarked {
		if title := withoutMail(p.Title); title != p.Title {
			p.Title, found = title, found|cleanedMail
		}
		for _, s := range short {
			*s = withoutMail(*s)
		}
	}
	cut(&p.URL, maxURL)
	cut(&p.Referrer, maxURL)
	cut(&p.Title, maxTitle)
	for _, s := range short {
		cut(s, maxShort)
	}
	c.Touch.First.trim()
	c.Touch.Last.trim()
	c.Screen.Width = min(max(c.Screen.Width, 0), maxScreen)
	c.Screen.Height = min(max(c.Screen.Height, 0), maxScreen)
	return found
}

// trim takes out what no address would have held.
func (t *Touch) trim() {
	cut(&t.Time, 40)
	if n := len(t.Params); n == 0 || n > maxExternal {
		t.Params = nil
		return
	}
	for k, v := range t.Params {
		if v == "" || len(v) > maxExternalV || !ValidName(k) || withoutMail(v) != v {
			delete(t.Params, k)
		}
	}
	if len(t.Params) == 0 {
		t.Params = nil
	}
}

// external keeps the ids that can be some. They come out of the page's address,
// where anybody can write anything, so a bad one is dropped and not refused.
func external(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	for k, v := range m {
		if v == "" || len(k) > maxExternalN || len(v) > maxExternalV || !ValidName(k) || HideID(v) != v || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			delete(m, k)
		}
	}
	if len(m) > maxExternal {
		return nil
	}
	return m
}

// cut shortens *s to at most n bytes at the border of a character.
func cut(s *string, n int) {
	if len(*s) <= n {
		return
	}
	for n > 0 && !utf8.RuneStart((*s)[n]) {
		n--
	}
	*s = (*s)[:n]
}

const invalidID = "must be 1 to 128 printable ASCII characters without spaces"

// Decode reads one event of an envelope and says what is wrong with it; a Fault
// without a code means nothing is.
func (in *Incoming) Decode(raw jsontext.Value) Fault {
	in.Raw = raw
	if len(raw) > MaxEventBytes {
		return Fault{"", "too_large", fmt.Sprintf("must be at most %d bytes", MaxEventBytes)}
	}
	if depth(raw) > MaxEventDepth {
		return Fault{"", "too_deep", fmt.Sprintf("must nest at most %d objects and arrays", MaxEventDepth)}
	}
	if raw.Kind() != '{' {
		return Fault{"", "invalid_type", "must be an object"}
	}
	if err := json.Unmarshal(raw, in); err != nil {
		f := Fault{"", "invalid_type", "must be of the right type: id, name and time are strings"}
		if e, ok := errors.AsType[*json.SemanticError](err); ok {
			f.Pointer = string(e.JSONPointer)
			f.Message = "must be a string"
		}
		return f
	}
	return in.Check()
}

// Check says what is wrong with an event whose types are right.
func (in *Incoming) Check() Fault {
	if in.Name == "" {
		return Fault{"/name", "required", "is required"}
	}
	if !ValidName(in.Name) {
		return Fault{"/name", "invalid_name", "must be a letter, then at most 63 letters, digits, _ . : or -"}
	}
	if in.ID != "" && !ValidID(in.ID) {
		return Fault{"/id", "invalid_id", invalidID}
	}
	switch in.Properties.Kind() {
	case '{', 0:
	case 'n':
		in.Properties = nil
	default:
		return Fault{"/properties", "invalid_type", "must be an object"}
	}
	return Fault{}
}

// depth is how deep JSON nests. It looks at brackets outside strings alone,
// before anything recurses into them.
func depth(b []byte) int {
	deep, now := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			now++
			deep = max(deep, now)
		case '}', ']':
			now--
		}
	}
	return deep
}

const (
	// ahead is how far a client's clock may run before ours.
	ahead = 10 * time.Minute
	// late is how old an event may be.
	late = 366 * 24 * time.Hour
)

// When decides an event's time from what the client says. What it says stands,
// except that
//
//   - an event without a time happened when it was received;
//   - none happened later than it was received: a time further ahead than ten
//     minutes is the mistake of a clock, and would hide the event from every
//     report that ends now;
//   - a time more than a year ago is refused, unless the sender's clock is as
//     wrong (a phone after a flat battery says 1970): then the event is as much
//     older than its arrival as it is older than its sending.
func (in *Incoming) When(sent, received time.Time) (time.Time, Fault) {
	if in.Time == "" {
		return received, Fault{}
	}
	t, err := parseTime(in.Time)
	if err != nil {
		return t, Fault{"/time", "invalid_time", err.Error()}
	}
	switch {
	case t.After(received.Add(ahead)):
		return received, Fault{}
	case t.After(received.Add(-late)):
		return t, Fault{}
	case !sent.IsZero() && sent.Before(received.Add(-late)):
		return received.Add(-min(max(sent.Sub(t), 0), late)), Fault{}
	}
	return t, Fault{"/time", "too_old", "must be less than a year ago"}
}

// wrongBy is how far a client's clock may be from ours before it counts as wrong: a
// request takes its time too.
const wrongBy = time.Minute

// Corrected is When for a sender whose clock may be wrong. Where the time of sending
// differs from that of the arrival by more than a minute, the event happened as long
// before its arrival as it did before its sending; skew is by how much that moves it.
func (in *Incoming) Corrected(sent, received time.Time) (t time.Time, skew time.Duration, f Fault) {
	if off := received.Sub(sent); in.Time == "" || sent.IsZero() || off <= wrongBy && off >= -wrongBy {
		t, f = in.When(sent, received)
		return t, 0, f
	}
	said, err := parseTime(in.Time)
	if err != nil {
		return said, 0, Fault{"/time", "invalid_time", err.Error()}
	}
	age := max(sent.Sub(said), 0)
	if age > late {
		return said, 0, Fault{"/time", "too_old", "must be less than a year ago"}
	}
	t = received.Add(-age)
	return t, t.Sub(said), f
}
