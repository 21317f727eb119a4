package consent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func vectors[T any](t testing.TB, name string) []T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	var v []T
	require.NoError(t, json.Unmarshal(b, &v))
	require.NotEmpty(t, v)
	return v
}

// restrictionVector and the others are what the vectors expect.
type restrictionVector struct {
	Purpose int   `json:"purpose_id"`
	Kind    int   `json:"restriction_type"`
	Vendors []int `json:"vendor_ids"`
}

type publisherVector struct {
	Consents       []int `json:"purpose_consents"`
	LI             []int `json:"purpose_li"`
	Custom         int   `json:"num_custom_purposes"`
	CustomConsents []int `json:"custom_purpose_consents"`
	CustomLI       []int `json:"custom_purpose_li"`
}

type expectedVector struct {
	Version             int                 `json:"version"`
	CreatedDS           int64               `json:"created_ds"`
	LastUpdatedDS       int64               `json:"last_updated_ds"`
	Created             time.Time           `json:"created"`
	LastUpdated         time.Time           `json:"last_updated"`
	CmpID               int                 `json:"cmp_id"`
	CmpVersion          int                 `json:"cmp_version"`
	ConsentScreen       int                 `json:"consent_screen"`
	ConsentLanguage     string              `json:"consent_language"`
	VendorListVersion   int                 `json:"vendor_list_version"`
	PolicyVersion       int                 `json:"policy_version"`
	ServiceSpecific     bool                `json:"is_service_specific"`
	NonStandardTexts    bool                `json:"use_non_standard_texts"`
	SpecialFeatures     []int               `json:"special_features"`
	PurposeConsents     []int               `json:"purpose_consents"`
	PurposeLI           []int               `json:"purpose_li"`
	PurposeOneTreatment bool                `json:"purpose_one_treatment"`
	PublisherCC         string              `json:"publisher_country_code"`
	VendorConsents      []int               `json:"vendor_consents"`
	VendorLI            []int               `json:"vendor_li"`
	Restrictions        []restrictionVector `json:"publisher_restrictions"`
	Disclosed           []int               `json:"disclosed_vendors"` // null where absent
	Publisher           *publisherVector    `json:"publisher_tc"`
}

type validVector struct {
	ID        string         `json:"id"`
	Note      string         `json:"note"`
	MayReject bool           `json:"may_reject"`
	String    string         `json:"tc_string"`
	Expected  expectedVector `json:"expected"`
	Policy    struct {
		Acceptable bool      `json:"acceptable"`
		Reasons    []Refusal `json:"reasons"`
	} `json:"policy"`
}

func TestParseReadsEveryFieldOfTheValidVectors(t *testing.T) {
	for _, v := range vectors[validVector](t, "tc_valid.json") {
		t.Run(v.ID+" "+v.Note, func(t *testing.T) {
			// Some of these may be refused; we read them all.
			got, err := Parse(v.String)
			require.NoError(t, err)
			x := v.Expected
			assert.Equal(t, 2, x.Version)
			assert.Equal(t, x.CreatedDS, got.Created.UnixMilli()/100)
			assert.Equal(t, x.LastUpdatedDS, got.LastUpdated.UnixMilli()/100)
			assert.True(t, x.Created.Equal(got.Created) && x.LastUpdated.Equal(got.LastUpdated))
			assert.Equal(t, x.CmpID, got.CmpID)
			assert.Equal(t, x.CmpVersion, got.CmpVersion)
			assert.Equal(t, x.ConsentScreen, got.ConsentScreen)
			assert.Equal(t, x.ConsentLanguage, got.ConsentLanguage)
			assert.Equal(t, x.VendorListVersion, got.VendorListVersion)
			assert.Equal(t, x.PolicyVersion, got.PolicyVersion)
			assert.Equal(t, x.ServiceSpecific, got.ServiceSpecific)
			assert.Equal(t, x.NonStandardTexts, got.NonStandardTexts)
			assert.Equal(t, x.SpecialFeatures, flagList(got.SpecialFeatures))
			assert.Equal(t, x.PurposeConsents, flagList(got.PurposeConsents))
			assert.Equal(t, x.PurposeLI, flagList(got.PurposeLI))
			assert.Equal(t, x.PurposeOneTreatment, got.PurposeOneTreatment)
			assert.Equal(t, x.PublisherCC, got.PublisherCC)
			assert.Equal(t, x.VendorConsents, vendorList(&got.VendorConsents))
			assert.Equal(t, x.VendorLI, vendorList(&got.VendorLI))
			assert.Equal(t, x.Restrictions, restrictionList(got))
			if x.Disclosed == nil {
				assert.Nil(t, got.Disclosed)
			} else if assert.NotNil(t, got.Disclosed) {
				assert.Equal(t, x.Disclosed, vendorList(got.Disclosed))
			}
			if x.Publisher == nil {
				assert.Nil(t, got.Publisher)
			} else if assert.NotNil(t, got.Publisher) {
				p := got.Publisher
				assert.Equal(t, *x.Publisher, publisherVector{
					flagList(p.PurposeConsents), flagList(p.PurposeLI),
					p.CustomPurposes, flagList(p.CustomConsents), flagList(p.CustomLI),
				})
			}

			want := Refusal("")
			if !v.Policy.Acceptable {
				require.Len(t, v.Policy.Reasons, 1)
				want = v.Policy.Reasons[0]
			}
			assert.Equal(t, want, got.Refusal())
		})
	}
}

func TestDisclosedVendorsAbsentAndEmptyAreTold(t *testing.T) {
	absent, empty := 0, 0
	for _, v := range vectors[validVector](t, "tc_valid.json") {
		if v.Expected.Disclosed == nil {
			absent++
		} else if len(v.Expected.Disclosed) == 0 {
			empty++
		}
	}
	assert.Positive(t, absent, "the vectors hold a string without the segment")
	assert.Positive(t, empty, "the vectors hold a string with an empty one")
}

func TestParseRefusesTheMalformedVectors(t *testing.T) {
	for _, v := range vectors[struct {
		ID     string `json:"id"`
		Note   string `json:"note"`
		String string `json:"tc_string"`
		Kind   string `json:"kind"`
	}](t, "tc_malformed.json") {
		t.Run(v.ID+" "+v.Note, func(t *testing.T) {
			got, err := Parse(v.String)
			require.Error(t, err)
			assert.Nil(t, got)
			assert.True(t, strings.HasPrefix(err.Error(), "the TC string cannot be read: "), err.Error())
		})
	}
}

func TestParseRefusesWhatOnlyLooksLikeATCString(t *testing.T) {
	good := build(tc{})
	require.NotPanics(t, func() { _, _ = Parse(good) })
	for name, c := range map[string]struct{ s, says string }{
		"over 16 KiB":              {strings.Repeat("C", maxString+1), "longer than"},
		"a GPP string":             {"DBACNY~CPxxx", "GPP"},
		"a second core segment":    {good + "." + good, "twice"},
		"two disclosed segments":   {good + ".IAAA.IAAA", "twice"},
		"two publisher segments":   {good + ".YAAAAAAAAAAA.YAAAAAAAAAAA", "twice"},
		"too many segments":        {good + strings.Repeat(".g", maxSegments), "segments"},
		"a dot at the end":         {good + ".", "empty"},
		"restrictions without end": {build(tc{restrictions: make([]limit, maxLimits+1)}), "publisher restrictions"},
		"dots alone":               {strings.Repeat(".", 9000), "version"},
		"padding with =":           {good + "=", "base64url"},
		"a blank at the end":       {good + " ", "base64url"},
		"a bad character skipped":  {good + ".g*", "base64url"},
		"undefined":                {"undefined", "never filled in"},
		"an unreplaced macro":      {"${GDPR_CONSENT_101}", "never filled in"},
		"an unreplaced template":   {"{{tcf}}", "never filled in"},
		"one character":            {"C", "ends in the middle"},
		"no version":               {"!", "base64url"},
		"publisher segment is cut": {good + ".YAAA", "ends in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.s)
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.says)
		})
	}
}

func TestParseSkipsSegmentsOfOtherTypes(t *testing.T) {
	got, err := Parse(build(tc{}) + ".Q.gAAA.oAAA.wAAA.4AAA")
	require.NoError(t, err)
	assert.Nil(t, got.Publisher)
}

func TestManyCustomPurposes(t *testing.T) {
	var p writer
	p.put(3, segmentPublisher)
	p.purposes(PurposesOf(1, 24))
	p.purposes(0)
	p.put(6, 63)
	for i := 1; i <= 126; i++ {
		on := int64(0)
		if i == 1 || i == 40 || i == 63 || i == 63+33 {
			on = 1
		}
		p.put(1, on)
	}
	got, err := Parse(build(tc{}) + "." + p.segment())
	require.NoError(t, err)
	assert.Equal(t, []int{1, 24}, flagList(got.Publisher.PurposeConsents))
	assert.Equal(t, []int{1, 40, 63}, flagList(got.Publisher.CustomConsents))
	assert.Equal(t, []int{33}, flagList(got.Publisher.CustomLI))
}

func TestRestrictionsAreCheckedAsVendorsAre(t *testing.T) {
	reversed := build(tc{restrictions: []limit{{7, 0, []span{{200, 100}}}}})
	_, err := Parse(reversed)
	require.ErrorIs(t, err, errReversed)
	whole, _, _ := strings.Cut(build(tc{restrictions: []limit{{7, 0, []span{{100, 200}, {300, 400}}}}}), ".")
	for cut := 3; cut < 18; cut++ {
		_, err = Parse(whole[:len(whole)-cut])
		require.ErrorIs(t, err, errShort, cut)
	}
}

func TestRangesMayOverlapAndBeUnsorted(t *testing.T) {
	s := mustParse(t, tc{max: 500, ranges: []span{{300, 400}, {10, 20}, {15, 30}, {101, 101}, {450, 600}}})
	for id, want := range map[int]bool{
		0: false, 9: false, 10: true, 25: true, 30: true, 31: false, 101: true, 299: false, 350: true,
		401: false, 450: true, 500: true,
		// Beyond the set's own end nobody is in it, whatever a range says.
		501: false, 600: false,
	} {
		assert.Equal(t, want, s.VendorConsents.Contains(id), id)
	}
}

func TestTheClocksRules(t *testing.T) {
	made := time.Date(2026, 5, 6, 0, 0, 0, 0, time.UTC)
	s := mustParse(t, tc{made: made})
	for name, c := range map[string]struct {
		now    time.Time
		months int
		want   Refusal
	}{
		"the same day":                   {made, 0, ""},
		"47 hours ahead":                 {made.Add(-47 * time.Hour), 0, ""},
		"49 hours ahead":                 {made.Add(-49 * time.Hour), 0, FromTheFuture},
		"13 months old":                  {made.AddDate(0, 13, 0), 0, ""},
		"13 months and a day":            {made.AddDate(0, 13, 1), 0, TooOld},
		"7 months where the site says 6": {made.AddDate(0, 7, 0), 6, TooOld},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, s.Acceptable(c.now, c.months))
			assert.True(t, c.want == "" || strings.Contains(c.want.String(), " "), "a refusal is said in words")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, v := range vectors[validVector](b, "tc_valid.json")[:6] {
		b.Run(v.Note, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(v.String)))
			for b.Loop() {
				if _, err := Parse(v.String); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseCached(b *testing.B) {
	c := newCache(1<<20, Parse)
	s := vectors[validVector](b, "tc_valid.json")[0].String
	b.ReportAllocs()
	for b.Loop() {
		_, _ = c.parse(s)
	}
}

func flagList(f Flags) []int {
	out := []int{}
	for i := range 65 {
		if f.Has(i) {
			out = append(out, i)
		}
	}
	return out
}

func vendorList(s *VendorSet) []int {
	out := []int{}
	for i := range 1 << 16 {
		if s.Contains(i) {
			out = append(out, i)
		}
	}
	return out
}

// restrictionList merges entries of the same purpose and kind, as the vectors do.
func restrictionList(s *TCString) []restrictionVector {
	type pair struct{ purpose, kind int }
	merged := map[pair][]int{}
	for _, x := range s.restrictions {
		p := pair{int(x.purpose), int(x.kind)}
		if merged[p] == nil {
			merged[p] = []int{}
		}
		for _, r := range s.restricted[x.from:x.to] {
			for id := int(r.from); id <= int(r.to); id++ {
				merged[p] = append(merged[p], id)
			}
		}
	}
	out := []restrictionVector{}
	for p, ids := range merged {
		slices.Sort(ids)
		out = append(out, restrictionVector{p.purpose, p.kind, slices.Compact(ids)})
	}
	slices.SortFunc(out, func(a, b restrictionVector) int { return (a.Purpose-b.Purpose)*8 + a.Kind - b.Kind })
	return out
}
