package consent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// What is known of a visitor is read with each event, so it is kept in a form of its
// own, which is read in a tenth of JSON's time: a version, flags, and the fields one
// after the other. What the end of the chain shares with the rest is there once, and
// whose it is stands in the key.
const form = 1

// The flags of a Newest.
const (
	hasRevoked = 1 << iota
	hasLast
	sameVerdict // as the last receipt's
	sameSignals
)

// The flags of signals.
const (
	saysGDPR = 1 << iota
	underGDPR
	saysGPC
	hasMode
)

var errForm = errors.New("it is damaged")

func (n *Newest) encode() []byte {
	var flags byte
	if !n.Revoked.IsZero() {
		flags |= hasRevoked
	}
	if r := n.Last; r != nil {
		flags |= hasLast
		if r.Verdict == n.Verdict {
			flags |= sameVerdict
		}
		if alike(&r.Signals, &n.Signals) {
			flags |= sameSignals
		}
	}
	w := packer{append(make([]byte, 0, 256+len(n.Signals.TCF)+len(n.Signals.GPP)+len(n.Signals.AddtlConsent)), form, flags)}
	w.time(n.At)
	if flags&hasRevoked != 0 {
		w.time(n.Revoked)
	}
	w.verdict(n.Verdict)
	w.signals(&n.Signals)
	if r := n.Last; r != nil {
		w.number(int64(r.Seq))
		w.time(r.At)
		w.text(r.Source)
		w.text(r.SourceID)
		if flags&sameVerdict == 0 {
			w.verdict(r.Verdict)
		}
		if flags&sameSignals == 0 {
			w.signals(&r.Signals)
		}
		w.text(r.SignalsSHA256)
		p := &r.Policy
		for _, v := range [...]int{p.TCFPolicy, p.VendorList, p.CMP, p.CMPVersion} {
			w.number(int64(v))
		}
		w.time(p.Updated)
		w.numbers(p.Sections)
		w.text(r.Prev)
		w.text(r.Hash)
	}
	return w.b
}

// decodeNewest reads what stands at a visitor's key, whose end is the subject.
func decodeNewest(v Visitor, key string, b []byte) (*Newest, error) {
	n := new(Newest)
	var err error
	if len(b) > 0 && b[0] == '{' {
		err = n.decodeJSON(b)
	} else {
		err = n.decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("decode the newest consent: %w", err)
	}
	if n.Last != nil {
		n.Last.PixelID, n.Last.Subject = v.PixelID, key[len(key)-subjectSize:]
	}
	return n, nil
}

func (n *Newest) decode(b []byte) error {
	if len(b) < 2 || b[0] != form {
		return errForm
	}
	flags := b[1]
	r := unpacker{s: string(b[2:])}
	n.At = r.time()
	if flags&hasRevoked != 0 {
		n.Revoked = r.time()
	}
	n.Verdict = r.verdict()
	r.signals(&n.Signals)
	if flags&hasLast != 0 {
		last := &event.ConsentReceipt{Seq: int(r.number()), At: r.time(), Source: r.text(), SourceID: r.text(), Verdict: n.Verdict}
		if flags&sameVerdict == 0 {
			last.Verdict = r.verdict()
		}
		if flags&sameSignals == 0 {
			r.signals(&last.Signals)
		} else {
			last.Signals = n.Signals
		}
		last.SignalsSHA256 = r.text()
		p := &last.Policy
		for _, v := range [...]*int{&p.TCFPolicy, &p.VendorList, &p.CMP, &p.CMPVersion} {
			*v = int(r.number())
		}
		p.Updated, p.Sections = r.time(), r.numbers()
		last.Prev, last.Hash = r.text(), r.text()
		n.Last = last
	}
	if r.bad || r.s != "" {
		return errForm
	}
	return nil
}

// decodeJSON reads what versions before the form wrote: records live for a year.
func (n *Newest) decodeJSON(b []byte) error {
	if err := json.Unmarshal(b, n, jsontext.AllowInvalidUTF8(true)); err != nil {
		return err
	}
	if r := n.Last; r != nil {
		if r.Verdict == (event.Verdict{}) {
			r.Verdict = n.Verdict
		}
		if r.Verdict.State.Allows(event.Partial) && alike(&r.Signals, &event.Consent{}) && r.SignalsSHA256 == digest(n.Signals) {
			r.Signals = n.Signals
		}
	}
	return nil
}

type packer struct{ b []byte }

func (w *packer) text(s string) { w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...) }

func (w *packer) number(n int64) { w.b = binary.AppendVarint(w.b, n) }

func (w *packer) numbers(list []int) {
	w.number(int64(len(list)))
	for _, n := range list {
		w.number(int64(n))
	}
}

func (w *packer) time(t time.Time) {
	if t.IsZero() {
		w.b = append(w.b, 0)
		return
	}
	w.b = binary.AppendUvarint(w.b, uint64(t.Nanosecond())+1)
	w.number(t.Unix())
}

func (w *packer) verdict(v event.Verdict) {
	for _, s := range [...]string{string(v.State), v.Regime, v.Rule, v.Reason} {
		w.text(s)
	}
}

func (w *packer) signals(c *event.Consent) {
	var flags byte
	if c.GDPRApplies != nil {
		flags |= saysGDPR
		if *c.GDPRApplies {
			flags |= underGDPR
		}
	}
	if c.GPC {
		flags |= saysGPC
	}
	if c.GCM != (event.ConsentMode{}) {
		flags |= hasMode
	}
	w.b = append(w.b, flags)
	for _, s := range [...]string{c.TCF, c.GPP, c.USPrivacy, c.AddtlConsent, string(c.State)} {
		w.text(s)
	}
	w.numbers(c.GPPSID)
	if flags&hasMode != 0 {
		for _, s := range [...]string{c.GCM.AdStorage, c.GCM.AdUserData, c.GCM.AdPersonalization, c.GCM.AnalyticsStorage} {
			w.text(s)
		}
	}
}

// unpacker reads what is left; once bad, all is zero.
type unpacker struct {
	s   string
	bad bool
}

func (r *unpacker) fail() { r.s, r.bad = "", true }

func (r *unpacker) count() uint64 {
	var n uint64
	for i := 0; i < len(r.s) && i < binary.MaxVarintLen64; i++ {
		c := r.s[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.s = r.s[i+1:]
			return n
		}
	}
	r.fail()
	return 0
}

func (r *unpacker) number() int64 {
	n := r.count()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *unpacker) text() string {
	n := r.count()
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	s := r.s[:n]
	r.s = r.s[n:]
	return s
}

func (r *unpacker) numbers() []int {
	n := r.number()
	if n < 0 || n > int64(len(r.s)) {
		r.fail()
		return nil
	}
	var list []int
	for range n {
		list = append(list, int(r.number()))
	}
	return list
}

func (r *unpacker) time() time.Time {
	nanos := r.count()
	if nanos == 0 || nanos > 1e9 {
		return time.Time{}
	}
	return time.Unix(r.number(), int64(nanos-1)).UTC()
}

func (r *unpacker) verdict() event.Verdict {
	return event.Verdict{State: event.State(r.text()), Regime: r.text(), Rule: r.text(), Reason: r.text()}
}

func (r *unpacker) signals(c *event.Consent) {
	if r.s == "" {
		r.fail()
		return
	}
	flags := r.s[0]
	r.s = r.s[1:]
	if flags&saysGDPR != 0 {
		applies := flags&underGDPR != 0
		c.GDPRApplies = &applies
	}
	c.GPC = flags&saysGPC != 0
	c.TCF, c.GPP, c.USPrivacy, c.AddtlConsent, c.State = r.text(), r.text(), r.text(), r.text(), event.State(r.text())
	c.GPPSID = r.numbers()
	if flags&hasMode != 0 {
		c.GCM = event.ConsentMode{AdStorage: r.text(), AdUserData: r.text(), AdPersonalization: r.text(), AnalyticsStorage: r.text()}
	}
}
