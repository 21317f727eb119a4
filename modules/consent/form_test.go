package consent

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/event"
)

func forms() map[string]*Newest {
	yes, no := true, false
	verdict := event.Verdict{State: event.Full, Regime: "gdpr", Rule: "R1/G5", Reason: "The visitor allowed everything."}
	signals := event.Consent{GDPRApplies: &yes, TCF: acceptAll, GPP: "DBAA", GPPSID: []int{2, 7}, USPrivacy: "1YNN", AddtlConsent: "2~1.2", GPC: true, State: event.Full,
		GCM: event.ConsentMode{AdStorage: "granted", AdUserData: "denied", AnalyticsStorage: "granted"}}
	last := event.ConsentReceipt{PixelID: ann.PixelID, Subject: Subject(ann), Seq: 3, At: at(2), Source: "web", SourceID: "e1", Verdict: verdict, Signals: signals,
		SignalsSHA256: digest(signals), Policy: event.ConsentPolicy{TCFPolicy: 5, VendorList: 200, CMP: 10, CMPVersion: 2, Updated: at(1), Sections: []int{2, 7}}, Prev: "before", Hash: "hash"}
	other := last
	other.Verdict, other.Signals = event.Verdict{State: event.Partial}, event.Consent{GDPRApplies: &no}
	return map[string]*Newest{
		"nothing but a time":       {At: at(1)},
		"everything":               {Verdict: verdict, Signals: signals, At: at(3).Add(7 * time.Nanosecond), Revoked: at(1), Last: &last},
		"a receipt of other words": {Verdict: verdict, Signals: signals, At: at(3), Last: &other},
		"a withdrawal":             {Verdict: Revoked(), At: at(4), Revoked: at(4), Last: &event.ConsentReceipt{PixelID: ann.PixelID, Subject: Subject(ann), Seq: 1, At: at(4), Verdict: Revoked(), Hash: "h"}},
	}
}

func TestWhatIsKnownOfAVisitorComesBackAsItWas(t *testing.T) {
	for name, n := range forms() {
		t.Run(name, func(t *testing.T) {
			got, err := decodeNewest(ann, key(ann), n.encode())
			require.NoError(t, err)
			assert.Equal(t, n, got)
		})
	}
}

func TestWhatEarlierVersionsWroteIsRead(t *testing.T) {
	for name, n := range forms() {
		t.Run(name, func(t *testing.T) {
			old := *n
			if n.Last != nil {
				r := *n.Last
				r.PixelID, r.Subject = "", ""
				if r.Verdict == n.Verdict {
					r.Verdict = event.Verdict{}
				}
				if alike(&r.Signals, &n.Signals) {
					r.Signals = event.Consent{}
				}
				old.Last = &r
			}
			b, err := json.Marshal(old)
			require.NoError(t, err)
			got, err := decodeNewest(ann, key(ann), b)
			require.NoError(t, err)
			assert.Equal(t, n, got)
		})
	}
}

func TestADamagedRecordIsAnErrorAndNoPanic(t *testing.T) {
	whole := forms()["everything"].encode()
	for i := range whole {
		_, err := decodeNewest(ann, key(ann), whole[:i])
		assert.Error(t, err, "cut after %d bytes", i)
		broken := append([]byte(nil), whole...)
		broken[i] ^= 0xff
		_, _ = decodeNewest(ann, key(ann), broken)
	}
	_, err := decodeNewest(ann, key(ann), append(whole, 0))
	assert.Error(t, err, "something behind it")
}
