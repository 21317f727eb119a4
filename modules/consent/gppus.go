package consent

import (
	"fmt"
	"slices"
	"strings"
)

// Field is a field of a US section, by the name it has in the specifications.
type Field string

// The fields. Those that a section has and their order differ by state.
const (
	SharingNotice                       Field = "SharingNotice"
	ProcessingNotice                    Field = "ProcessingNotice"
	SaleOptOutNotice                    Field = "SaleOptOutNotice"
	SharingOptOutNotice                 Field = "SharingOptOutNotice"
	TargetedAdvertisingOptOutNotice     Field = "TargetedAdvertisingOptOutNotice"
	SensitiveDataProcessingOptOutNotice Field = "SensitiveDataProcessingOptOutNotice"
	SensitiveDataOptOutNotice           Field = "SensitiveDataOptOutNotice"
	SensitiveDataLimitUseNotice         Field = "SensitiveDataLimitUseNotice"
	SaleOptOut                          Field = "SaleOptOut"
	SharingOptOut                       Field = "SharingOptOut"
	TargetedAdvertisingOptOut           Field = "TargetedAdvertisingOptOut"
	SensitiveDataProcessing             Field = "SensitiveDataProcessing"
	KnownChildSensitiveDataConsents     Field = "KnownChildSensitiveDataConsents"
	PersonalDataConsents                Field = "PersonalDataConsents"
	AdditionalDataProcessingConsent     Field = "AdditionalDataProcessingConsent"
	MspaCoveredTransaction              Field = "MspaCoveredTransaction"
	MspaOptOutOptionMode                Field = "MspaOptOutOptionMode"
	MspaServiceProviderMode             Field = "MspaServiceProviderMode"
)

// part is a field and how many numbers of two bits it has.
type part struct {
	field Field
	n     int
}

// layout is a section's fields in their order, after the version.
type layout struct {
	prefix string
	parts  []part
}

var mspa = []part{{MspaCoveredTransaction, 1}, {MspaOptOutOptionMode, 1}, {MspaServiceProviderMode, 1}}

// national is usnat, of which two versions are in use.
func national(sensitive, child int) layout {
	return layout{"usnat", append([]part{
		{SharingNotice, 1}, {SaleOptOutNotice, 1}, {SharingOptOutNotice, 1}, {TargetedAdvertisingOptOutNotice, 1},
		{SensitiveDataProcessingOptOutNotice, 1}, {SensitiveDataLimitUseNotice, 1},
		{SaleOptOut, 1}, {SharingOptOut, 1}, {TargetedAdvertisingOptOut, 1},
		{SensitiveDataProcessing, sensitive}, {KnownChildSensitiveDataConsents, child}, {PersonalDataConsents, 1},
	}, mspa...)}
}

// section is what all states but California share: a notice of sharing or processing,
// perhaps one on sensitive data, and perhaps a consent to additional processing.
func section(prefix string, notice, more Field, sensitive, child int, additional bool) layout {
	p := []part{{notice, 1}, {SaleOptOutNotice, 1}, {TargetedAdvertisingOptOutNotice, 1}}
	if more != "" {
		p = append(p, part{more, 1})
	}
	p = append(p, part{SaleOptOut, 1}, part{TargetedAdvertisingOptOut, 1}, part{SensitiveDataProcessing, sensitive}, part{KnownChildSensitiveDataConsents, child})
	if additional {
		p = append(p, part{AdditionalDataProcessingConsent, 1})
	}
	return layout{prefix, append(p, mspa...)}
}

var (
	usnat  = [...]layout{1: national(12, 2), 2: national(16, 3)}
	states = [lastReadableUS + 1]layout{
		8: {"usca", append([]part{
			{SaleOptOutNotice, 1}, {SharingOptOutNotice, 1}, {SensitiveDataLimitUseNotice, 1}, {SaleOptOut, 1}, {SharingOptOut, 1},
			{SensitiveDataProcessing, 9}, {KnownChildSensitiveDataConsents, 2}, {PersonalDataConsents, 1},
		}, mspa...)},
		9:  section("usva", SharingNotice, "", 8, 1, false),
		10: section("usco", SharingNotice, "", 7, 1, false),
		11: section("usut", SharingNotice, SensitiveDataProcessingOptOutNotice, 8, 1, false),
		12: section("usct", SharingNotice, "", 8, 3, false),
		13: section("usfl", ProcessingNotice, "", 8, 3, true),
		14: section("usmt", SharingNotice, "", 8, 3, true),
		15: section("usor", ProcessingNotice, "", 11, 3, true),
		16: section("ustx", ProcessingNotice, "", 8, 1, true),
		17: section("usde", ProcessingNotice, "", 9, 5, true),
		18: section("usia", ProcessingNotice, SensitiveDataOptOutNotice, 8, 1, false),
		19: section("usne", ProcessingNotice, "", 8, 1, true),
		20: section("usnh", ProcessingNotice, "", 8, 3, true),
		21: section("usnj", ProcessingNotice, "", 10, 5, true),
		22: section("ustn", ProcessingNotice, "", 8, 1, true),
		23: section("usmn", ProcessingNotice, "", 8, 1, true),
	}
)

// Tristate is a switch that may be absent.
type Tristate uint8

// The answers.
const (
	Unknown Tristate = iota
	Off
	On
)

// maxValues is how many numbers the longest section has: usnat, version 2.
const maxValues = 32

// USSection is a decoded section 7 to 23.
type USSection struct {
	ID, Version int
	GPC         Tristate // of its subsection

	layout *layout
	values [maxValues]uint8
}

// Prefix names the section, such as "usca".
func (s *USSection) Prefix() string { return s.layout.prefix }

// Fields are the section's fields in their order.
func (s *USSection) Fields() []Field {
	out := make([]Field, len(s.layout.parts))
	for i, p := range s.layout.parts {
		out[i] = p.field
	}
	return out
}

// Values are a field's numbers, 0 to 3; none where the section lacks the field.
func (s *USSection) Values(f Field) []uint8 {
	at := 0
	for _, p := range s.layout.parts {
		if p.field == f {
			return s.values[at : at+p.n]
		}
		at += p.n
	}
	return nil
}

func (s *USSection) read(id int, section string) error {
	core, rest, more := strings.Cut(section, ".")
	r, err := decode(core)
	if err != nil {
		return err
	}
	s.ID, s.Version = id, int(r.take(6))
	switch {
	case r.short:
		return errShort
	case id == 7 && s.Version >= 1 && s.Version < len(usnat):
		s.layout = &usnat[s.Version]
	case id != 7 && s.Version == 1:
		s.layout = &states[id]
	default:
		return fmt.Errorf("its version %d is not known", s.Version)
	}
	at := 0
	for _, p := range s.layout.parts {
		for range p.n {
			s.values[at] = uint8(r.take(2))
			at++
		}
	}
	if r.short {
		return errShort
	}
	for n := 2; more; n++ {
		if n > maxSegments {
			return errSegments
		}
		var sub string
		sub, rest, more = strings.Cut(rest, ".")
		if err := s.subsection(sub); err != nil {
			return err
		}
	}
	return nil
}

// subsection reads Global Privacy Control, on any section: some states' layouts
// have none, but a visitor's opt-out is one wherever it is written.
func (s *USSection) subsection(segment string) error {
	if segment == "" {
		return errSegment
	}
	if err := alien(segment); err != nil {
		return err
	}
	bits := sextets[segment[0]]
	if bits>>4 != 1 {
		return nil // of a kind that is yet to come
	}
	if s.GPC != Unknown {
		return errTwice
	}
	s.GPC = Off
	if bits>>3&1 == 1 {
		s.GPC = On
	}
	return nil
}

// A choice is 0 where it does not apply, 1 where it is against us and 2 where it is
// not; 3 has no meaning, and so the stricter one.
func refused(v uint8) bool { return v&1 == 1 }

// optedOut is an opt-out from sale, sharing or targeted advertising.
func (s *USSection) optedOut() bool {
	return s.any(refused, SaleOptOut, SharingOptOut, TargetedAdvertisingOptOut)
}

// unnoticed says that the visitor was not told of one of these rights: such a
// notice is 1 where it was given.
func (s *USSection) unnoticed() bool {
	return s.any(func(v uint8) bool { return v >= 2 }, SharingNotice, SaleOptOutNotice, SharingOptOutNotice, TargetedAdvertisingOptOutNotice)
}

// child says that the visitor is known to be one, without consent.
func (s *USSection) child() bool { return s.any(refused, KnownChildSensitiveDataConsents) }

// provider says that the site may only use service providers.
func (s *USSection) provider() bool { return s.any(refused, MspaServiceProviderMode) }

// sensitive says that some sensitive data may not be processed.
func (s *USSection) sensitive() bool { return s.any(refused, SensitiveDataProcessing) }

func (s *USSection) any(is func(uint8) bool, fields ...Field) bool {
	for _, f := range fields {
		if slices.ContainsFunc(s.Values(f), is) {
			return true
		}
	}
	return false
}
