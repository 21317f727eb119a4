package consent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GPP is a decoded GPP string: which sections it has, and what those say that we
// can read. A section of an unknown id is skipped, as is Canada's (5), whose law is
// not implemented, and the four of 2025 (24 to 27), of which two layouts are in use
// that nothing tells apart.
type GPP struct {
	IDs       []int // as the header lists them, ascending
	TCF       *TCString
	USPrivacy *USPrivacy // section 6
	US        []USSection

	tcf string // section 2 as it came
}

// Section ids of GPP.
const (
	sectionTCF     = 2
	sectionCanada  = 5
	firstUS        = 6
	sectionUSP     = 6
	lastReadableUS = 23
	lastUS         = 27
)

// maxSection bounds the ids, so that a group of them cannot grow without end.
const maxSection = 1000

var (
	errTC      = errors.New("it is a TC string")
	errHeader  = errors.New("its header cannot be read")
	errCount   = errors.New("it has another number of sections than its header lists")
	errSection = errors.New("a section is empty")
)

// ParseGPP decodes a GPP string. Whatever it is given, it costs little, and answers
// with an error instead of a guess; the error quotes nothing of the string. One
// section that is known and cannot be read spoils the whole, since what it would
// have said may be a refusal.
func ParseGPP(s string) (*GPP, error) {
	g, err := parseGPP(s)
	if err != nil {
		return nil, fmt.Errorf("the GPP string cannot be read: %w", err)
	}
	return g, nil
}

func parseGPP(s string) (*GPP, error) {
	switch {
	case s == "":
		return nil, errEmpty
	case len(s) > maxString:
		return nil, errLong
	case Unfilled(s):
		return nil, errUnfilled
	case s[0] == 'C':
		return nil, errTC
	}
	header, rest, more := strings.Cut(s, "~")
	sections := 0
	if more {
		sections = strings.Count(rest, "~") + 1
	}
	ids, err := gppHeader(header, sections)
	if err != nil {
		return nil, err
	}
	g := &GPP{IDs: ids}
	for _, id := range ids {
		var section string
		section, rest, _ = strings.Cut(rest, "~")
		if section == "" {
			return nil, errSection
		}
		if err := g.read(id, section); err != nil {
			return nil, fmt.Errorf("section %d: %w", id, err)
		}
	}
	return g, nil
}

func (g *GPP) read(id int, section string) (err error) {
	switch {
	case id == sectionTCF:
		g.tcf = section
		g.TCF, err = parse(section)
	case id == sectionUSP:
		u, err := ParseUSPrivacy(section)
		if err != nil {
			return err
		}
		g.USPrivacy = &u
	case id > sectionUSP && id <= lastReadableUS:
		if g.US == nil {
			g.US = make([]USSection, 0, min(len(g.IDs), lastReadableUS-sectionUSP))
		}
		g.US = g.US[:len(g.US)+1]
		err = g.US[len(g.US)-1].read(id, section)
	}
	return err
}

// Has reports whether the string has a section of this id, read or not.
func (g *GPP) Has(id int) bool {
	_, found := slices.BinarySearch(g.IDs, id)
	return found
}

// gppHeader reads the ids of the sections that follow, of which there must be as
// many as there are sections: what it allocates was sent.
func gppHeader(segment string, sections int) ([]int, error) {
	r, err := decode(segment)
	if err != nil {
		return nil, err
	}
	if r.take(6) != 3 || r.take(6) != 1 || r.short {
		return nil, errHeader
	}
	items := int(r.take(12))
	ids := make([]int, 0, min(sections, maxSection))
	last := 0
	for range items {
		group := r.flag()
		first := last + r.fibonacci()
		last = first
		if group {
			last += r.fibonacci()
		}
		switch {
		case r.short || last > maxSection:
			return nil, errHeader
		case len(ids)+last-first+1 > sections:
			return nil, errCount
		}
		for id := first; id <= last; id++ {
			ids = append(ids, id)
		}
	}
	if r.short || len(ids) != sections {
		return nil, errCount
	}
	return ids, nil
}

// fibonacci reads a number by the weights 1, 2, 3, 5, 8, …, up to the first 11,
// whose second 1 has no weight. One that is too large for an id is as good as cut.
func (r *bits) fibonacci() int {
	n, last := 0, false
	for a, b := 1, 2; a <= 2*maxSection && !r.short; a, b = b, a+b {
		one := r.flag()
		if one && last {
			return n
		}
		if last = one; one {
			n += a
		}
	}
	r.at, r.short = r.end, true
	return 0
}
