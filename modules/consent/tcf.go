package consent

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// maxString is the longest TC or GPP string that is read. Usual ones have
// between 200 bytes and 2 KB.
const maxString = 16 << 10

// maxSegments leaves room for types to come; four are defined.
const maxSegments = 16

// maxLimits bounds the publisher restrictions. There are 256 pairs of a purpose and a
// kind, and who writes a pair twice could have written it once.
const maxLimits = 512

// TCString is a decoded TC string, version 2 (TCF 2.0 to 2.3). That it decodes
// does not make it acceptable: see Refusal.
type TCString struct {
	Created             time.Time
	LastUpdated         time.Time
	CmpID               int
	CmpVersion          int
	ConsentScreen       int
	ConsentLanguage     string
	VendorListVersion   int
	PolicyVersion       int
	ServiceSpecific     bool
	NonStandardTexts    bool
	SpecialFeatures     Flags
	PurposeConsents     Flags
	PurposeLI           Flags // legitimate interests that the visitor did not object to
	PurposeOneTreatment bool  // purpose 1 was not asked
	PublisherCC         string

	VendorConsents VendorSet
	VendorLI       VendorSet
	// Disclosed are the vendors that the visitor was shown; nil where the
	// segment is absent.
	Disclosed *VendorSet
	// Publisher is the segment on the publisher's own processing; nil where it
	// is absent.
	Publisher *Publisher

	restrictions []restriction
	restricted   []span // of all restrictions, one after the other

	own finding // what it says of ourselves, once a Decider decoded it
}

// Publisher is what the visitor allowed the publisher itself.
type Publisher struct {
	PurposeConsents Flags
	PurposeLI       Flags
	CustomPurposes  int
	CustomConsents  Flags
	CustomLI        Flags
}

// restriction is the publisher's word on one purpose for some vendors.
type restriction struct {
	purpose  uint8
	kind     uint8
	sorted   bool
	from, to uint16 // of TCString.restricted; 16 KiB hold fewer than 6,000 ranges
}

// Kinds of publisher restriction. A fourth can be written but means nothing.
const (
	forbid         = 0
	requireConsent = 1
	requireLI      = 2
	unlimited      = 255 // no restriction
)

// The segment types that are read; others are skipped.
const (
	segmentCore      = 0
	segmentDisclosed = 1
	segmentPublisher = 3
)

var (
	errEmpty    = errors.New("it is empty")
	errUnfilled = errors.New("it was never filled in, which is a tagging mistake on the page")
	errLong     = fmt.Errorf("it is longer than %d bytes", maxString)
	errGPP      = errors.New("it is a GPP string")
	errTwice    = errors.New("a segment occurs twice")
	errSegment  = errors.New("a segment is empty")
	errSegments = fmt.Errorf("it has more than %d segments", maxSegments)
	errLimits   = fmt.Errorf("it has more than %d publisher restrictions", maxLimits)
)

// Unfilled reports whether a page sent a placeholder instead of a value, such
// as ${GDPR_CONSENT_101} or undefined: a mistake that somebody can repair.
func Unfilled(s string) bool {
	switch s {
	case "undefined", "null", "NaN", "false", "true", "[object Object]":
		return true
	}
	return strings.HasPrefix(s, "${") || strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "%%")
}

// Parse decodes a TC string. Whatever it is given, it costs little, and answers
// with an error instead of a guess; the error quotes nothing of the string.
func Parse(s string) (*TCString, error) {
	t, err := parse(s)
	if err != nil {
		return nil, fmt.Errorf("the TC string cannot be read: %w", err)
	}
	return t, nil
}

func parse(s string) (*TCString, error) {
	switch {
	case s == "":
		return nil, errEmpty
	case len(s) > maxString:
		return nil, errLong
	case Unfilled(s):
		return nil, errUnfilled
	case s[0] == 'D':
		return nil, errGPP
	}
	core, rest, more := strings.Cut(s, ".")
	t := new(TCString)
	if err := t.readCore(core); err != nil {
		return nil, err
	}
	for n := 2; more; n++ {
		if n > maxSegments {
			return nil, errSegments
		}
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		if err := t.readSegment(segment); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *TCString) readCore(segment string) error {
	r, err := decode(segment)
	if err != nil {
		return err
	}
	if v := r.take(6); r.short || v != 2 {
		return fmt.Errorf("its version is %d, not 2", v)
	}
	t.Created, t.LastUpdated = deciseconds(r.take(36)), deciseconds(r.take(36))
	t.CmpID, t.CmpVersion, t.ConsentScreen = int(r.take(12)), int(r.take(12)), int(r.take(6))
	t.ConsentLanguage = r.letters()
	t.VendorListVersion, t.PolicyVersion = int(r.take(12)), int(r.take(6))
	t.ServiceSpecific, t.NonStandardTexts = r.flag(), r.flag()
	t.SpecialFeatures, t.PurposeConsents, t.PurposeLI = r.flags(12), r.flags(24), r.flags(24)
	t.PurposeOneTreatment, t.PublisherCC = r.flag(), r.letters()
	if r.short {
		return errShort
	}
	if t.VendorConsents, err = r.vendorSet(); err != nil {
		return fmt.Errorf("vendor consents: %w", err)
	}
	if t.VendorLI, err = r.vendorSet(); err != nil {
		return fmt.Errorf("vendor legitimate interests: %w", err)
	}
	if err := t.readRestrictions(&r); err != nil {
		return fmt.Errorf("publisher restrictions: %w", err)
	}
	return nil
}

func (t *TCString) readRestrictions(r *bits) error {
	n := int(r.take(12))
	if r.short || r.left() < n*20 {
		return errShort
	}
	switch {
	case n == 0:
		return nil
	case n > maxLimits:
		return errLimits
	}
	t.restrictions = make([]restriction, 0, n)
	// Nothing follows them, so what is left bounds their ranges: one allocation
	// for all, instead of one for each.
	t.restricted = make([]span, 0, (r.left()-n*20)/17)
	for range n {
		x := restriction{purpose: uint8(r.take(6)), kind: uint8(r.take(2)), from: uint16(len(t.restricted))}
		entries, err := r.entries()
		if err != nil {
			return err
		}
		if t.restricted, x.sorted, err = r.spans(t.restricted, entries); err != nil {
			return err
		}
		x.to = uint16(len(t.restricted))
		t.restrictions = append(t.restrictions, x)
	}
	return nil
}

func (t *TCString) readSegment(segment string) error {
	if segment == "" {
		return errSegment
	}
	kind := sextets[segment[0]] >> 3
	switch kind {
	case segmentCore:
		return errTwice
	case segmentDisclosed, segmentPublisher:
	default:
		// Out-of-band leftovers and types to come: legal, and nothing to us.
		return alien(segment)
	}
	r, err := decode(segment)
	if err != nil {
		return err
	}
	r.take(3)
	if kind == segmentDisclosed {
		if t.Disclosed != nil {
			return errTwice
		}
		s, err := r.vendorSet()
		if err != nil {
			return fmt.Errorf("disclosed vendors: %w", err)
		}
		t.Disclosed = &s
		return nil
	}
	if t.Publisher != nil {
		return errTwice
	}
	p := Publisher{PurposeConsents: r.flags(24), PurposeLI: r.flags(24), CustomPurposes: int(r.take(6))}
	p.CustomConsents, p.CustomLI = r.flags(p.CustomPurposes), r.flags(p.CustomPurposes)
	if r.short {
		return fmt.Errorf("publisher segment: %w", errShort)
	}
	t.Publisher = &p
	return nil
}

func deciseconds(n uint64) time.Time { return time.UnixMilli(int64(n) * 100).UTC() }
