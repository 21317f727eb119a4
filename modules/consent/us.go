package consent

import "github.com/miq/pixel/modules/event"

// findU6 is for what cannot be read.
var findU6 = finding{event.Partial, "U6", "a US privacy signal came that cannot be read", event.Allowed}

// us applies rows U1 to U8.
func us(c *reading, site *Site) finding {
	f := c.optOuts()
	switch {
	case f.rule != "":
	case site.PartialWithoutSignal:
		f = finding{event.Partial, "U8", "no signal came, which the site takes for our own analytics only", event.Allowed}
	default:
		f.rule, f.why = "U8", "the visitor did not opt out"
	}
	if site.consentMode() {
		f = stricter(f, refusals(c.GCM))
	}
	return f
}

// found is what the US signals say, each with the name of the first that says so.
type found struct {
	child, optOut, noNotice, provider, unreadable, readable string
	sections                                                bool // one was read
}

// optOuts applies rows U1 to U7 to what counts as an opt-out under whatever law:
// GPC, us_privacy, and the US sections in force. Its rule is empty where none came.
func (r *reading) optOuts() finding {
	var x found
	r.byUSPrivacy(&x)
	r.bySections(&x)
	switch {
	case x.child != "":
		return finding{event.None, "U4", "the visitor is known to be a child, without consent (" + x.child + ")", event.Allowed}
	case r.GPC:
		return finding{event.Partial, "U1", "the browser's Global Privacy Control asks not to sell or share", event.Allowed}
	case x.optOut == usPrivacy:
		return finding{event.Partial, "U2", "the visitor opted out of sale (us_privacy)", event.Allowed}
	case x.optOut != "":
		return finding{event.Partial, "U2", "the visitor opted out of sale, sharing or targeted advertising (" + x.optOut + ")", event.Allowed}
	case x.noNotice != "":
		return finding{event.Partial, "U3", "the visitor was not told of the right to opt out (" + x.noNotice + ")", event.Allowed}
	case x.provider != "":
		return finding{event.Partial, "U5", "the site may only use service providers (" + x.provider + ")", event.Allowed}
	case x.unreadable != "":
		return finding{event.Partial, "U6", x.unreadable, event.Allowed}
	case x.readable != "":
		return finding{event.Full, "U7", "the visitor was told of the right to opt out, and did not", event.Allowed}
	}
	return finding{event.Full, "", "", event.Allowed}
}

const usPrivacy = "us_privacy"

func (r *reading) byUSPrivacy(x *found) {
	if r.USPrivacy == "" {
		return
	}
	u, err := ParseUSPrivacy(r.USPrivacy)
	if err != nil {
		x.unreadable = findU6.why
		return
	}
	x.four(u, usPrivacy)
}

// four reads the four characters of us_privacy, which are section 6 too.
func (x *found) four(u USPrivacy, name string) {
	if !u.Applies() {
		return
	}
	note(&x.readable, name, true)
	note(&x.optOut, name, u.OptedOut())
	note(&x.noNotice, name, u.Notice == 'N')
}

func note(to *string, name string, is bool) {
	if is && *to == "" {
		*to = name
	}
}

// bySections reads the US sections in force. One that gpp_sid names and the string
// lacks is as good as unreadable; the four of 2025 are so too, where nothing else is
// in force.
func (r *reading) bySections(x *found) {
	if r.gppErr != nil {
		note(&x.unreadable, r.gppErr.Error(), true)
		return
	}
	if r.gpp == nil && len(r.GPPSID) == 0 {
		return // none is in force
	}
	opaque := false
	for id := firstUS; id <= lastUS; id++ {
		if !r.applies(id) {
			continue
		}
		switch s := r.section(id); {
		case r.gpp == nil || !r.gpp.Has(id):
			note(&x.unreadable, "gpp_sid names a section that the GPP string does not have", true)
		case id == sectionUSP:
			x.four(*r.gpp.USPrivacy, "uspv1")
			x.sections = true
		case s == nil:
			opaque = true
		default:
			x.section(s)
		}
	}
	if opaque && !x.sections {
		note(&x.unreadable, "only sections of the GPP string are in force that cannot be told apart (24 to 27)", true)
	}
}

func (x *found) section(s *USSection) {
	name := s.Prefix()
	x.sections = true
	note(&x.readable, name, true)
	note(&x.child, name, s.child())
	note(&x.optOut, name, s.optedOut())
	note(&x.noNotice, name, s.unnoticed())
	note(&x.provider, name, s.provider())
}

// section is a decoded section, nil where it is not there or not read.
func (r *reading) section(id int) *USSection {
	if r.gpp == nil {
		return nil
	}
	for i := range r.gpp.US {
		if r.gpp.US[i].ID == id {
			return &r.gpp.US[i]
		}
	}
	return nil
}
