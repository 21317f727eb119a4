package consent

import (
	"slices"
	"time"

	"github.com/miq/pixel/modules/event"
)

// reading is what came, with the GPP string decoded: gpp is nil where none came,
// or none that can be read.
type reading struct {
	event.Consent
	gpp    *GPP
	gppErr error
	tcs    *cache[*TCString]
}

// read decodes what is always needed. GPC in a section of any state is the
// browser's, whatever the page says of where the visitor is.
func (d *Decider) read(c event.Consent) reading {
	r := reading{Consent: c, tcs: d.tcs}
	if c.GPP == "" {
		return r
	}
	if r.gpp, r.gppErr = d.gpps.parse(c.GPP); r.gppErr != nil {
		return r
	}
	for i := range r.gpp.US {
		r.GPC = r.GPC || r.gpp.US[i].GPC == On
	}
	return r
}

// applies reports whether a section is in force: by gpp_sid, or where that does not
// tell, if the string has it.
func (r *reading) applies(id int) bool {
	if r.told() {
		return slices.Contains(r.GPPSID, id)
	}
	return r.gpp != nil && r.gpp.Has(id)
}

// told reports whether gpp_sid says which sections are in force; it is absent or 0
// where the page does not know.
func (r *reading) told() bool {
	return len(r.GPPSID) > 0 && !slices.Contains(r.GPPSID, 0)
}

// saysTCF reports whether there is a TC string, or should be one.
func (r *reading) saysTCF() bool { return r.TCF != "" || r.applies(sectionTCF) }

// tcStrings are the TC strings that count: none, one, or two that both have to
// allow a thing.
type tcStrings [2]*TCString

// acceptable are the TC strings that count, or none and why. Of the one in tcf and
// the one in GPP's second section the later counts; both do where they were made on
// the same day and differ, since then nobody knows which came last. A tcf that cannot
// be read may have been the refusal, so that the other does not make up for it.
func (r *reading) acceptable(site *Site, now time.Time) (tcStrings, string) {
	var none, tcs tcStrings
	if r.TCF != "" {
		tc, err := r.tcs.parse(r.TCF)
		if err != nil {
			return none, err.Error()
		}
		tcs[0] = tc
	}
	switch {
	case !r.applies(sectionTCF):
	case r.gppErr != nil && tcs[0] == nil:
		return none, r.gppErr.Error()
	case r.gppErr != nil: // costs the rest of what there is to lose: U6
	case r.gpp == nil || r.gpp.TCF == nil:
		return none, "gpp_sid names a TC string, and the GPP string has none"
	case r.gpp.tcf == r.TCF:
	default:
		tcs = latest(tcs[0], r.gpp.TCF)
	}
	if tcs[0] == nil {
		return none, "no TC string came"
	}
	for _, tc := range tcs {
		if tc == nil {
			break
		}
		if no := tc.Acceptable(now, site.MaxMonths); no != "" {
			return none, "the TC string does not count, since " + no.String()
		}
	}
	return tcs, ""
}

// latest is the later of two strings, or both if one day made them. a may be nil.
func latest(a, b *TCString) tcStrings {
	if a == nil {
		return tcStrings{b}
	}
	day := func(t *TCString) time.Time { return t.LastUpdated.Truncate(24 * time.Hour) }
	switch {
	case day(a).Equal(day(b)):
		return tcStrings{a, b}
	case a.LastUpdated.Before(b.LastUpdated):
		return tcStrings{b}
	}
	return tcStrings{a}
}

// TCF is the TC string that a partner is to be given: the one in tcf, or that of
// GPP's second section where there is no other or an older one.
func (d *Decider) TCF(c event.Consent) string {
	r := d.read(c)
	if r.gpp == nil || r.gpp.TCF == nil || !r.applies(sectionTCF) {
		return c.TCF
	}
	if c.TCF == "" {
		return r.gpp.tcf
	}
	tc, err := d.tcs.parse(c.TCF)
	if err == nil && latest(tc, r.gpp.TCF)[0] == r.gpp.TCF {
		return r.gpp.tcf
	}
	return c.TCF
}

// placesUS reports whether the page says that US law applies. A us_privacy that
// cannot be read says nothing of the place: it limits what follows (U6), but does
// not take the visitor out of GDPR. Nor does a GPP string alone, since many pages
// send one with US sections to everybody.
func (r *reading) placesUS() bool {
	if slices.ContainsFunc(r.GPPSID, isUS) {
		return true
	}
	u, err := ParseUSPrivacy(r.USPrivacy)
	return err == nil && u.Applies()
}

func isUS(id int) bool { return id >= firstUS && id <= lastUS }

// signalsUS reports whether US signals came that are in force.
func (r *reading) signalsUS() bool {
	return r.placesUS() || !r.told() && r.gpp != nil && slices.ContainsFunc(r.gpp.IDs, isUS)
}

// unreadable reports a US signal, or what may hold one, that cannot be read.
func (r *reading) unreadable() bool {
	if r.gppErr != nil {
		return true
	}
	if r.USPrivacy == "" {
		return false
	}
	_, err := ParseUSPrivacy(r.USPrivacy)
	return err != nil
}

// Sensitive reports whether the visitor's sensitive data may not be processed: a
// section in force says so of some kind of it. Which kind is not asked, as the
// states number them differently and change their lists.
func (d *Decider) Sensitive(c event.Consent) bool {
	r := d.read(c)
	if r.gpp == nil {
		return false
	}
	for i := range r.gpp.US {
		if s := &r.gpp.US[i]; r.applies(s.ID) && s.sensitive() {
			return true
		}
	}
	return false
}
