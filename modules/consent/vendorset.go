package consent

import (
	"errors"
	"sort"
)

var errReversed = errors.New("a range of vendors ends before it starts")

// span is a range of vendor ids, both ends included.
type span struct{ from, to uint16 }

// VendorSet says which vendors of the global list are meant. It stays in the
// form it was sent in: a few kilobytes of ranges may name millions of vendors,
// so nothing here is ever expanded.
type VendorSet struct {
	max    int
	field  []byte // a bit a vendor, from bit off on
	off    int
	ranges []span
	sorted bool // ranges ascend and do not overlap
}

// Contains reports whether the vendor is in the set. Ids beyond the set's own
// MaxVendorId are not, whatever a range says.
func (s *VendorSet) Contains(id int) bool {
	if id < 1 || id > s.max {
		return false
	}
	if s.field != nil {
		bit := s.off + id - 1
		return s.field[bit>>3]>>(7-bit&7)&1 == 1
	}
	return within(s.ranges, s.sorted, id)
}

func within(ranges []span, sorted bool, id int) bool {
	if sorted {
		i := sort.Search(len(ranges), func(i int) bool { return int(ranges[i].to) >= id })
		return i < len(ranges) && int(ranges[i].from) <= id
	}
	for _, r := range ranges {
		if int(r.from) <= id && id <= int(r.to) {
			return true
		}
	}
	return false
}

// vendorSet reads MaxVendorId and a bit field or ranges.
func (r *bits) vendorSet() (VendorSet, error) {
	s := VendorSet{max: int(r.take(16))}
	if r.flag() {
		n, err := r.entries()
		if err != nil {
			return s, err
		}
		s.ranges, s.sorted, err = r.spans(make([]span, 0, n), n)
		return s, err
	}
	if r.short || r.left() < s.max {
		return s, errShort
	}
	s.field, s.off = r.b, r.at
	r.at += s.max
	return s, nil
}

// entries reads NumEntries and sees to it that so many can be there.
func (r *bits) entries() (int, error) {
	n := int(r.take(12))
	if r.short || r.left() < n*17 {
		return 0, errShort
	}
	return n, nil
}

// spans appends n range entries to into, and says whether they ascend.
func (r *bits) spans(into []span, n int) ([]span, bool, error) {
	sorted, last := true, -1
	for range n {
		head := r.take(17)
		s := span{from: uint16(head), to: uint16(head)}
		if head>>16 == 1 {
			s.to = uint16(r.take(16))
		}
		if r.short {
			return nil, false, errShort
		}
		if s.to < s.from {
			return nil, false, errReversed
		}
		sorted = sorted && int(s.from) > last
		last = int(s.to)
		into = append(into, s)
	}
	return into, sorted, nil
}
