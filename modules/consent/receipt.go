package consent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// subjectSize is how long a Subject is.
const subjectSize = 32

// Subject is a visitor's digest, by which receipts are found.
func Subject(v Visitor) string {
	sum := sha256.Sum256([]byte(v.PixelID + "\x00" + v.ID))
	return hex.EncodeToString(sum[:subjectSize/2])
}

// receipt is the proof of a change, behind the last of the visitor's chain.
func (b *Book) receipt(last *event.ConsentReceipt, c *Change) *event.ConsentReceipt {
	r := event.ConsentReceipt{
		PixelID: c.Visitor.PixelID, Subject: Subject(c.Visitor), Seq: 1,
		At: c.At.UTC().Truncate(time.Microsecond), Source: c.Source, SourceID: c.ID,
		Verdict: c.Verdict, Signals: c.Signals, SignalsSHA256: digest(c.Signals), Policy: b.decider.policy(c.Signals),
	}
	if !c.Verdict.State.Allows(event.Partial) {
		r.Verdict.State, r.Signals = event.None, event.Consent{}
	}
	if last != nil {
		r.Seq, r.Prev = last.Seq+1, last.Hash
	}
	r.Hash = hash(r, b.seals[0])
	return &r
}

// hash is over all of a receipt but itself. It takes a key, so that who can write
// into the store cannot make the chain fit again.
func hash(r event.ConsentReceipt, seal []byte) string {
	r.Hash = ""
	body, err := json.Marshal(r, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	if err != nil {
		return "" // which no receipt's hash is
	}
	h := hmac.New(sha256.New, seal)
	h.Write(body)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// genuine reports whether a receipt is as it was written, under a key that we know.
func (b *Book) genuine(r *event.ConsentReceipt) bool {
	return slices.ContainsFunc(b.seals, func(seal []byte) bool { return hmac.Equal([]byte(r.Hash), []byte(hash(*r, seal))) })
}

func digest(c event.Consent) string {
	body, err := json.Marshal(c, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// policy is what the strings say of the rules that they were made under.
func (d *Decider) policy(c event.Consent) event.ConsentPolicy {
	var p event.ConsentPolicy
	r := d.read(c)
	tc, err := d.tcs.parse(d.TCF(c))
	if err == nil {
		p.TCFPolicy, p.VendorList, p.CMP, p.CMPVersion, p.Updated = tc.PolicyVersion, tc.VendorListVersion, tc.CmpID, tc.CmpVersion, tc.LastUpdated
	}
	if r.gpp != nil {
		p.Sections = r.gpp.IDs
	}
	return p
}

// Problem is a place where a chain of receipts does not hold.
type Problem struct {
	Seq     int       `json:"seq"` // of the receipt
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// Check goes through all of a visitor's receipts, oldest first, and says where the
// chain is broken; newest is what is known of the visitor now, nil if nothing is. A
// chain may begin anew where the visitor was not seen for so long that nothing was
// known any more, or where the store lost its last second in a crash: that is told
// as the second answer, the number of chains.
func (b *Book) Check(receipts []event.ConsentReceipt, newest *Newest) (problems []Problem, chains int) {
	broken := func(r *event.ConsentReceipt, format string, args ...any) {
		problems = append(problems, Problem{r.Seq, r.At, fmt.Sprintf(format, args...)})
	}
	for i := range receipts {
		r := &receipts[i]
		if !b.genuine(r) {
			broken(r, "this receipt is not as it was written")
		}
		if r.Seq == 1 && r.Prev == "" {
			chains++
			continue
		}
		switch {
		case i == 0:
			broken(r, "the receipts before this one are missing")
		case receipts[i-1].Seq != r.Seq-1 || receipts[i-1].Hash != r.Prev:
			broken(r, "this receipt does not follow the one before it: one is missing, or was added or changed")
		}
	}
	if newest == nil || newest.Last == nil {
		return problems, chains
	}
	switch last := newest.Last; {
	case len(receipts) == 0:
		broken(last, "the visitor's receipts are missing")
	case receipts[len(receipts)-1].Hash != last.Hash:
		broken(last, "the last receipt is missing, or on its way")
	}
	return problems, chains
}
