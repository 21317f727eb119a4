package consent

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUSPrivacyVectors(t *testing.T) {
	for _, v := range vectors[struct {
		String   string `json:"us_privacy"`
		Valid    bool   `json:"valid"`
		Expected struct {
			Notice   string `json:"notice"`
			OptOut   string `json:"opt_out_sale"`
			Covered  string `json:"lspa_covered"`
			Applies  bool   `json:"applies"`
			OptedOut bool   `json:"opted_out"`
		} `json:"expected"`
	}](t, "us_privacy.json") {
		t.Run(v.String, func(t *testing.T) {
			u, err := ParseUSPrivacy(v.String)
			assert.Equal(t, v.Valid, err == nil)
			if err != nil {
				return
			}
			x := v.Expected
			assert.Equal(t, x.Notice+x.OptOut+x.Covered, string([]byte{u.Notice, u.OptOut, u.Covered}))
			assert.Equal(t, x.Applies, u.Applies())
			assert.Equal(t, x.OptedOut, u.OptedOut())
		})
	}
}

func TestUSPrivacyIsStrict(t *testing.T) {
	for _, s := range []string{"1yyn", "1Y-N", "1XYN", "1YY", " 1YN", "1YYN "} {
		_, err := ParseUSPrivacy(s)
		assert.Error(t, err, s)
	}
}
