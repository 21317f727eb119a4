package consent

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLegalBasis(t *testing.T) {
	const id = 101
	var (
		consents = Vendor{ID: id, Consent: every}
		flexible = Vendor{ID: id, Consent: every, Flexible: every}
		li       = Vendor{ID: id, LI: every}
		liFlex   = Vendor{ID: id, LI: every, Flexible: every}
		nothing  = Vendor{ID: id}
		only     = []int{id}
		all      = tc{consents: every, li: every, vendors: only, liVendors: only}
	)
	with := func(change func(*tc)) tc {
		x := all
		change(&x)
		return x
	}
	limited := func(limits ...limit) tc { return with(func(x *tc) { x.restrictions = limits }) }
	us := []span{{id, id}}
	for name, c := range map[string]struct {
		s       tc
		v       Vendor
		purpose int
		want    bool
	}{
		"1 not declared":                                    {all, nothing, 7, false},
		"2 disclosed":                                       {all, consents, 7, true},
		"2 not disclosed":                                   {with(func(x *tc) { x.disclosed = []int{21} }), consents, 7, false},
		"2 nobody disclosed":                                {with(func(x *tc) { x.disclosed = []int{} }), consents, 7, false},
		"2 no such segment":                                 {with(func(x *tc) { x.undisclosed = true }), consents, 7, true},
		"3 forbidden to one that asks consent":              {limited(limit{7, 0, us}), consents, 7, false},
		"3 forbidden to one with an interest":               {limited(limit{7, 0, us}), liFlex, 7, false},
		"3 forbidden for another purpose":                   {limited(limit{2, 0, us}), consents, 7, true},
		"3 forbidden to another vendor":                     {limited(limit{7, 0, []span{{1, 100}, {102, 900}}}), consents, 7, true},
		"3 forbidden to a range":                            {limited(limit{7, 0, []span{{1, 900}}}), consents, 7, false},
		"3 consent required of one that asks it":            {limited(limit{7, 1, us}), consents, 7, true},
		"3 consent required of a flexible interest":         {limited(limit{7, 1, us}), liFlex, 7, true},
		"3 consent required of a rigid interest":            {limited(limit{7, 1, us}), li, 7, false},
		"3 interest required of one that has it":            {limited(limit{7, 2, us}), li, 7, true},
		"3 interest required of flexible consent":           {limited(limit{7, 2, us}), flexible, 7, true},
		"3 interest required of rigid consent":              {limited(limit{7, 2, us}), consents, 7, false},
		"3 interest required for purpose 1":                 {limited(limit{1, 2, us}), flexible, 1, false},
		"3 interest required for purpose 3":                 {limited(limit{3, 2, us}), flexible, 3, false},
		"3 interest required for purpose 4":                 {limited(limit{4, 2, us}), flexible, 4, false},
		"3 interest required for purpose 6":                 {limited(limit{6, 2, us}), flexible, 6, false},
		"3 the undefined fourth kind forbids":               {limited(limit{7, 3, us}), consents, 7, false},
		"3 the smallest kind wins, first":                   {limited(limit{7, 0, us}, limit{7, 1, us}), consents, 7, false},
		"3 the smallest kind wins, last":                    {limited(limit{7, 2, us}, limit{7, 1, us}), consents, 7, true},
		"3 the fourth kind is smaller than all":             {limited(limit{7, 1, us}, limit{7, 3, us}), consents, 7, false},
		"3 consent required, but not given":                 {with(func(x *tc) { x.consents = 0; x.restrictions = []limit{{7, 1, us}} }), liFlex, 7, false},
		"3 interest required, but objected to":              {with(func(x *tc) { x.li = 0; x.restrictions = []limit{{7, 2, us}} }), flexible, 7, false},
		"3 interest required, consent alone does not do":    {with(func(x *tc) { x.liVendors = nil; x.restrictions = []limit{{7, 2, us}} }), flexible, 7, false},
		"4 consent: purpose alone":                          {with(func(x *tc) { x.vendors = []int{21} }), consents, 7, false},
		"4 consent: vendor alone":                           {with(func(x *tc) { x.consents = PurposesOf(1) }), consents, 7, false},
		"4 interest: purpose alone":                         {with(func(x *tc) { x.liVendors = []int{21} }), li, 7, false},
		"4 interest: vendor alone":                          {with(func(x *tc) { x.li = PurposesOf(2) }), li, 7, false},
		"4 interest: both":                                  {all, li, 7, true},
		"4 interest is none for purpose 1":                  {all, li, 1, false},
		"4 interest is none for purpose 5":                  {all, li, 5, false},
		"5 flexible consent does not fall back on interest": {with(func(x *tc) { x.consents = 0 }), flexible, 7, false},
		"5 flexible interest does not fall back on consent": {with(func(x *tc) { x.li = 0 }), liFlex, 7, false},
		"6 purpose 1 was not asked":                         {with(func(x *tc) { x.oneTreatment = true }), consents, 1, false},
		"6 that concerns no other purpose":                  {with(func(x *tc) { x.oneTreatment = true }), consents, 7, true},
		"purpose 0 is none":                                 {all, consents, 0, false},
		"purpose 24 is none":                                {all, consents, 24, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, mustParse(t, c.s).Basis(c.v, c.purpose))
		})
	}
}

func TestDeclarationsTakeConsentUnlessToldOtherwise(t *testing.T) {
	interest := mustParse(t, tc{li: every, liVendors: partners})
	careful, trusting := New(Options{}), New(Options{AllowLI: true})
	for _, id := range partners {
		for p := 1; p <= 11; p++ {
			assert.False(t, interest.Basis(careful.vendor(id, ""), p), "vendor %d purpose %d", id, p)
		}
	}
	assert.True(t, interest.Basis(trusting.vendor(21, ""), 7), "The Trade Desk claims an interest in 7")
	assert.False(t, interest.Basis(trusting.vendor(101, ""), 7), "we claim none")
	assert.False(t, interest.Basis(trusting.vendor(21, ""), 1))
}

func TestTheOperatorsOwnDeclarationsReplaceOurs(t *testing.T) {
	d := New(Options{VendorID: 4711})
	assert.Equal(t, 4711, d.own.ID)
	assert.Equal(t, ownFull, d.own.Consent)
	d = New(Options{VendorID: 4711, AllowLI: true, Vendors: []Vendor{
		{ID: 4711, Name: "Acme", Consent: PurposesOf(1), LI: PurposesOf(7)},
		{ID: 21, Name: "TTD", Consent: PurposesOf(1, 2, 3, 4, 7)},
	}})
	assert.Equal(t, "Acme", d.own.Name)
	assert.Equal(t, "TTD", d.vendor(21, "").Name)
	assert.Equal(t, "Amazon", d.vendor(793, "").Name)
	assert.Equal(t, Vendor{ID: 9, Name: "fifth", Consent: every}, d.vendor(9, "fifth"))
}
