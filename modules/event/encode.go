package event

import (
	"encoding/binary"
	"math/bits"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Events travel in the ingest queues in a form of their own: half as large as
// JSON, and read in a tenth of the time. It is the fields one after the other, in
// the order of appendOwn, appendShared and appendMore, without their names:
//
//	text    a varint, then the bytes: 0 is none, 1 the 16 bytes of a UUID in
//	        lower case, n a text of n-1 bytes
//	number  a varint, zigzag
//	time    seconds since 1970 and nanoseconds, both varints, in UTC
//	group   a byte of flags, then the members that they say are there
//
// The first byte is the version. A field that is added later goes to the end:
// whoever does not know it does not read so far, and where it is missing it is
// zero. What begins with a brace is JSON, and read as such.
const version = 1

// Encoder writes the events of one envelope. What they have in common is most of
// each, and is encoded once.
type Encoder struct {
	shared []byte
}

// Share takes from an event what all that are appended after have in common:
// everything but ID, Receipt, Name, Time, Priority, Seq, Order, Properties and what
// appendMore writes.
func (enc *Encoder) Share(e *Event) {
	enc.shared = appendShared(enc.shared[:0], e)
}

// Size is at least as much as Append will add.
func (enc *Encoder) Size(e *Event) int {
	n := 140 + len(e.Crossing.Visitor) + len(e.Crossing.Use) + len(e.ID) + len(e.Receipt) + len(e.Name) + len(e.Priority) + len(e.Properties) + len(enc.shared) +
		len(e.Order.ID) + len(e.Order.Value) + len(e.Order.Currency)
	for i := range e.Order.Items {
		it := &e.Order.Items[i]
		n += 12 + len(it.ID) + len(it.Name) + len(it.Brand) + len(it.Category) + len(it.Price) + len(it.Quantity)
	}
	if x := &e.Enrichment; x.more() != 0 {
		n += 160 + len(x.Cleaned) + len(x.Session.ID) + len(x.Session.Entry) + len(x.Value.Amount) + len(x.Value.Currency) + len(x.Value.Date) + len(x.Value.Missing)
		for _, s := range x.Place.texts() {
			n += len(*s)
		}
	}
	return n
}

// Append appends an event to dst. Its Properties have to be valid JSON.
func (enc *Encoder) Append(dst []byte, e *Event) []byte {
	return appendMore(append(appendOwn(append(dst, version), e), enc.shared...), e)
}

// Encode returns one event.
func Encode(e *Event) []byte {
	return Append(make([]byte, 0, 768), e)
}

// Append appends one event to dst.
func Append(dst []byte, e *Event) []byte {
	return appendMore(appendShared(appendOwn(append(dst, version), e), e), e)
}

func appendOwn(b []byte, e *Event) []byte {
	b = appendTexts(b, e.ID, e.Receipt, e.Name)
	b = appendTime(b, e.Time)
	b = appendTexts(b, string(e.Priority), e.Order.ID, string(e.Order.Value), e.Order.Currency)
	b = binary.AppendUvarint(b, uint64(len(e.Order.Items)))
	for i := range e.Order.Items {
		it := &e.Order.Items[i]
		b = appendTexts(b, it.ID, it.Name, it.Brand, it.Category, string(it.Price), string(it.Quantity))
	}
	b = binary.AppendVarint(b, int64(e.Seq))
	if len(e.Properties) == 0 {
		return append(b, noText)
	}
	return append(binary.AppendUvarint(b, uint64(len(e.Properties))+1), e.Properties...)
}

// The flags of groups.
const (
	consentAsked = 1 << iota // gdpr_applies is there
	consentGDPR
	consentGPC
	consentMode
)

func appendShared(b []byte, e *Event) []byte {
	b = appendTexts(b, e.PixelID)
	b = appendTime(b, e.SentAt)
	b = appendTime(b, e.ReceivedAt)
	b = appendTexts(b, e.Source)
	b = appendConsent(b, &e.Consent)
	b = appendTexts(b, string(e.Verdict.State), e.Verdict.Regime, e.Verdict.Rule, e.Verdict.Reason)
	b = appendSubject(b, &e.Subject)
	b = appendContext(b, &e.Context)
	b = appendEnrichment(b, &e.Enrichment)
	return appendTexts(b, e.Trace)
}

func appendConsent(b []byte, c *Consent) []byte {
	var flags byte
	if c.GDPRApplies != nil {
		flags |= consentAsked
		if *c.GDPRApplies {
			flags |= consentGDPR
		}
	}
	if c.GPC {
		flags |= consentGPC
	}
	if m := &c.GCM; len(m.AdStorage)|len(m.AdUserData)|len(m.AdPersonalization)|len(m.AnalyticsStorage) != 0 {
		flags |= consentMode
	}
	b = append(b, flags)
	b = appendTexts(b, c.TCF, c.GPP, c.USPrivacy, c.AddtlConsent, string(c.State))
	b = binary.AppendUvarint(b, uint64(len(c.GPPSID)))
	for _, n := range c.GPPSID {
		b = binary.AppendVarint(b, int64(n))
	}
	if flags&consentMode != 0 {
		b = appendTexts(b, c.GCM.AdStorage, c.GCM.AdUserData, c.GCM.AdPersonalization, c.GCM.AnalyticsStorage)
	}
	return b
}

// person are the fields of a Subject that few events have.
func (s *Subject) person() [members]*string {
	return [...]*string{
		&s.Email, &s.EmailGoogle, &s.PhoneE164, &s.PhoneDigits,
		&s.FirstName, &s.LastName, &s.Street, &s.City, &s.Region, &s.PostalCode, &s.Country,
		&s.EmailCM360, &s.FirstNameGoogle, &s.LastNameGoogle, &s.StreetGoogle,
		&s.Locality.City, &s.Locality.Region, &s.Locality.PostalCode,
	}
}

// members is how many those are.
const members = 18

func appendSubject(b []byte, s *Subject) []byte {
	b = appendTexts(b, s.VisitorID, s.AnonymousID, s.UserID)
	all := s.person()
	b = appendMembers(b, &all)
	b = appendTable(b, s.ClickIDs)
	return appendTable(b, s.PartnerIDs)
}

// appendMembers writes which texts of a group are there, and those.
func appendMembers(b []byte, all *[members]*string) []byte {
	var flags uint64
	for i, s := range all {
		if *s != "" {
			flags |= 1 << i
		}
	}
	b = binary.AppendUvarint(b, flags)
	for ; flags != 0; flags &= flags - 1 {
		b = appendTexts(b, *all[bits.TrailingZeros64(flags)])
	}
	return b
}

func appendContext(b []byte, c *Context) []byte {
	b = appendTexts(b, c.Page.URL, c.Page.Referrer, c.Page.Title, c.Locale, c.Timezone, c.SDK.Name, c.SDK.Version, c.IP, c.UserAgent)
	b = binary.AppendVarint(b, int64(c.Screen.Width))
	b = binary.AppendVarint(b, int64(c.Screen.Height))
	b = appendTable(b, c.ClientHints)
	first, last := &c.Touch.First, &c.Touch.Last
	b = appendTexts(b, c.Tab, first.Time, first.Referrer)
	b = appendTable(b, first.Params)
	b = appendTexts(b, last.Time, last.Referrer)
	b = appendTable(b, last.Params)
	if c.Place.empty() {
		return append(b, 0)
	}
	return appendPlace(append(b, 1), &c.Place)
}

func appendPlace(b []byte, p *Place) []byte {
	for _, s := range p.texts() {
		b = appendTexts(b, *s)
	}
	return binary.AppendVarint(b, int64(p.ASN))
}

// empty compares with nothing. The operator calls a function for each text.
func (p *Place) empty() bool {
	return len(p.Country)|len(p.Region)|len(p.City)|len(p.PostalCode)|len(p.Timezone)|len(p.Network)|p.ASN == 0
}

func (p *Place) texts() [6]*string {
	return [...]*string{&p.Country, &p.Region, &p.City, &p.PostalCode, &p.Timezone, &p.Network}
}

func appendEnrichment(b []byte, e *Enrichment) []byte {
	// As in Place.empty.
	d, c, r := &e.Device, &e.Campaign, &e.Referrer
	if len(d.Class)|len(d.Browser)|len(d.BrowserVersion)|len(d.OS)|len(d.OSVersion)|
		len(c.Source)|len(c.Medium)|len(c.Name)|len(c.Term)|len(c.Content)|len(c.ID)|
		len(r.Host)|len(r.Kind)|len(r.Name)|len(e.Bot) == 0 && !e.Automated {
		return append(b, 0)
	}
	b = append(b, 1)
	for _, s := range e.texts() {
		b = appendTexts(b, *s)
	}
	var automated byte
	if e.Automated {
		automated = 1
	}
	return append(b, automated)
}

func (e *Enrichment) texts() [15]*string {
	return [...]*string{
		&e.Device.Class, &e.Device.Browser, &e.Device.BrowserVersion, &e.Device.OS, &e.Device.OSVersion,
		&e.Campaign.Source, &e.Campaign.Medium, &e.Campaign.Name, &e.Campaign.Term, &e.Campaign.Content, &e.Campaign.ID,
		&e.Referrer.Host, &e.Referrer.Kind, &e.Referrer.Name, &e.Bot,
	}
}

// The groups of appendMore.
const (
	morePlace = 1 << iota
	moreSession
	moreValue
	moreSkew
	moreCleaned
	moreCrossing
)

func (e *Enrichment) more() (flags byte) {
	// As in Place.empty.
	if !e.Place.empty() {
		flags |= morePlace
	}
	if s := &e.Session; len(s.ID)|len(s.Entry)|s.N != 0 || !s.Start.IsZero() {
		flags |= moreSession
	}
	if v := &e.Value; len(v.Amount)|len(v.Currency)|len(v.Date)|len(v.Missing) != 0 {
		flags |= moreValue
	}
	if e.Skew != 0 {
		flags |= moreSkew
	}
	if e.Cleaned != "" {
		flags |= moreCleaned
	}
	return flags
}

// appendMore writes what came to events later and is each event's own.
func appendMore(b []byte, e *Event) []byte {
	x := &e.Enrichment
	flags := x.more()
	if e.Crossing != (Crossing{}) {
		flags |= moreCrossing
	}
	b = append(b, flags)
	if flags&morePlace != 0 {
		b = appendPlace(b, &x.Place)
	}
	if flags&moreSession != 0 {
		b = appendTexts(b, x.Session.ID)
		b = appendTime(b, x.Session.Start)
		b = appendTexts(b, x.Session.Entry)
		b = binary.AppendVarint(b, int64(x.Session.N))
	}
	if flags&moreValue != 0 {
		b = appendTexts(b, string(x.Value.Amount), x.Value.Currency, x.Value.Date, x.Value.Missing)
	}
	if flags&moreSkew != 0 {
		b = binary.AppendVarint(b, x.Skew)
	}
	if flags&moreCleaned != 0 {
		b = appendTexts(b, x.Cleaned)
	}
	if flags&moreCrossing != 0 {
		b = appendTexts(b, e.Crossing.Visitor, e.Crossing.Use)
	}
	return b
}

func appendTable(b []byte, m map[string]string) []byte {
	if len(m) == 0 {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(m)))
	for k, v := range m {
		b = appendTexts(b, k, v)
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0, 0)
	}
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond())+1)
}

// The first bytes of a text.
const (
	noText   = 0
	uuidText = 1
)

func appendTexts(b []byte, texts ...string) []byte {
	for _, s := range texts {
		switch n := len(s); {
		case n == 0:
			b = append(b, noText)
		case n < 0x7f && n != 36: // nearly all
			b = append(append(b, byte(n+1)), s...)
		default:
			b = appendLong(b, s)
		}
	}
	return b
}

func appendLong(b []byte, s string) []byte {
	if id, ok := parseUUID(s); ok {
		return append(append(b, uuidText), id[:]...)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

// parseUUID reads a UUID in its usual spelling and no other, so that it comes
// back as it was.
func parseUUID(s string) (id uuid.UUID, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	var all byte
	for i, at := range [...]byte{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34} {
		high, low := nibbles[s[at]], nibbles[s[at+1]]
		id[i] = high<<4 | low
		all |= high | low
	}
	return id, all <= 0xf
}

// nibbles has what each hexadecimal digit in lower case stands for, and 0xff of all other
// bytes. A table, since no processor predicts whether a digit or a letter comes next.
var nibbles = func() (of [256]byte) {
	for c := range of {
		of[c] = byte(strings.IndexByte("0123456789abcdef", byte(c)))
	}
	return of
}()
