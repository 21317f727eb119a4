// Package session puts a visitor's events into visits. A visit ends after 30 minutes
// without an event, where another campaign brings the visitor again, and, where the
// site wants it, at its midnight.
//
// What is remembered of a visitor are the latest few sessions, in one small value. The
// same event given again gets the same session: a session is named for the event that
// opened it, and an event is put where its own time says, in whatever order events
// come. Two workers that take events of one visitor at the very same moment may each
// open a session; the later write is then remembered. What was forgotten meanwhile no
// write brings back, unless it opens a session.
package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

const (
	// idle ends a session.
	idle = 30 * time.Minute
	// keep is how long a visitor's sessions are remembered, from the beginning of the
	// last: after it, counting begins anew. One that is longer than a day is remembered
	// from its last event on.
	keep = 30 * 24 * time.Hour
	long = 24 * time.Hour
	// most is how many sessions of a visitor are remembered.
	most = 6
	// maxEntry bounds the path that a session began on.
	maxEntry = 200
)

// Site is what an event's site says about sessions.
type Site struct {
	// Midnight ends them at midnight too, in Zone.
	Midnight bool
	Zone     *time.Location
}

// Of is an event with its site.
type Of struct {
	Event *event.Event
	Site  Site
}

// keys are what Assign needs of the state.
type keys interface {
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	Set(ctx context.Context, entries ...state.Entry) error
}

// Key is where a visitor's sessions are remembered.
func Key(pixel, visitor string) string {
	// A digest bounds the key, whatever an advertiser's ids look like.
	sum := sha256.Sum256([]byte(pixel + "\x00" + visitor))
	return "sess:" + base64.RawURLEncoding.EncodeToString(sum[:15])
}

// Assign gives each event its session: one read and one write for all of them. An
// event without a visitor and one of a machine that visits by itself have none; one
// that a server tells of joins a session and opens none.
func Assign(ctx context.Context, store keys, events ...Of) error {
	type who struct{ pixel, visitor string }
	at := make(map[who]int, len(events))
	var names []string
	where := make([]int, len(events))
	for i, o := range events {
		e := o.Event
		e.Enrichment.Session = event.Session{}
		where[i] = -1
		visitor := e.Subject.VisitorID
		if visitor == "" || e.Enrichment.Bot != "" && !e.Enrichment.Automated {
			continue
		}
		n, ok := at[who{e.PixelID, visitor}]
		if !ok {
			n = len(names)
			at[who{e.PixelID, visitor}] = n
			names = append(names, Key(e.PixelID, visitor))
		}
		where[i] = n
	}
	if len(names) == 0 {
		return nil
	}
	values, err := store.Get(ctx, names...)
	if err != nil {
		return fmt.Errorf("read sessions: %w", err)
	}
	visitors := make([]visits, len(names))
	for i, v := range values {
		visitors[i] = decode(v)
	}
	// In the order in which they happened, whatever that in which they came is.
	order := make([]int, 0, len(events))
	for i := range events {
		if where[i] >= 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return events[a].Event.Time.Compare(events[b].Event.Time) })
	for _, i := range order {
		visitors[where[i]].put(events[i])
	}
	var entries []state.Entry
	for i := range visitors {
		if v := &visitors[i]; v.changed {
			e := state.Entry{Key: names[i], Value: v.encode(), TTL: state.Kept}
			if v.renewed {
				e.TTL = keep
			}
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := store.Set(ctx, entries...); err != nil {
		return fmt.Errorf("write sessions: %w", err)
	}
	return nil
}

// visit is one session.
type visit struct {
	id          [12]byte
	start, last int64 // milliseconds since 1970
	campaign    uint32
	n           int
	entry       string
}

// visits are a visitor's, the earliest first.
type visits struct {
	list    []visit
	changed bool
	renewed bool // they are remembered for longer
}

// put finds the event's session, or opens it.
func (v *visits) put(o Of) {
	e := o.Event
	now := e.Time.UnixMilli()
	campaign := campaignOf(e)
	server := e.Source == "server"
	i := v.find(now, campaign, o.Site)
	if i >= 0 {
		s := &v.list[i]
		if now > s.last && !server {
			s.last, v.changed = now, true
			v.renewed = v.renewed || s.last-s.start > long.Milliseconds()
		}
		s.tell(e)
		return
	}
	i = v.before(now)
	if server {
		return
	}
	// The event may be earlier than the first of a session that is known already.
	if i+1 < len(v.list) {
		if s := &v.list[i+1]; s.start-now <= idle.Milliseconds() && s.campaign == campaign && sameDay(now, s.start, o.Site) {
			s.start, s.entry, v.changed = now, entryOf(e), true
			s.tell(e)
			return
		}
	}
	s := visit{start: now, last: now, campaign: campaign, entry: entryOf(e)}
	sum := sha256.Sum256([]byte(e.PixelID + "\x00" + e.Subject.VisitorID + "\x00" + e.ID))
	copy(s.id[:], sum[:])
	// Its number is one more than that before it; one that comes too late to be counted
	// shares the number of the one before.
	switch {
	case i == len(v.list)-1 && i >= 0:
		s.n = v.list[i].n + 1
	case i >= 0:
		s.n = v.list[i].n
	case len(v.list) == 0:
		s.n = 1
	default:
		s.n = max(1, v.list[0].n-1)
	}
	v.list = slices.Insert(v.list, i+1, s)
	s.tell(e)
	if len(v.list) > most {
		v.list = slices.Delete(v.list, 0, len(v.list)-most)
	}
	v.changed, v.renewed = true, true
}

// before is the latest that had begun at a time, -1 if there is none.
func (v *visits) before(now int64) int {
	i := len(v.list) - 1
	for i >= 0 && v.list[i].start > now {
		i--
	}
	return i
}

// find is the session that an event of a time and campaign is part of, -1 if there is
// none yet. Of several that began at that very moment it is the one of its campaign,
// and else what goes on from before: so it does not depend on which came first.
func (v *visits) find(now int64, campaign uint32, site Site) int {
	i := v.before(now)
	first := i
	for first >= 0 && v.list[first].start == now {
		if v.list[first].campaign == campaign {
			return first
		}
		first--
	}
	switch {
	case first >= 0 && v.list[first].takes(now, campaign, site):
		return first
	case campaign == 0 && first < i:
		return first + 1
	}
	return -1
}

// takes reports whether an event of a time and campaign is part of the session.
func (s *visit) takes(now int64, campaign uint32, site Site) bool {
	switch {
	case now-s.last > idle.Milliseconds():
		return false
	case campaign != 0 && campaign != s.campaign:
		return false
	}
	return sameDay(s.start, now, site)
}

func sameDay(a, b int64, site Site) bool {
	if !site.Midnight {
		return true
	}
	zone := site.Zone
	if zone == nil {
		zone = time.UTC
	}
	ay, am, ad := time.UnixMilli(a).In(zone).Date()
	by, bm, bd := time.UnixMilli(b).In(zone).Date()
	return ay == by && am == bm && ad == bd
}

func (s *visit) tell(e *event.Event) {
	e.Enrichment.Session = event.Session{
		ID: base64.RawURLEncoding.EncodeToString(s.id[:]), Start: time.UnixMilli(s.start).UTC(), Entry: s.entry, N: s.n,
	}
}

// campaignOf is a campaign's fingerprint, 0 where there is none: what the address says,
// and whether a paid click led here.
func campaignOf(e *event.Event) uint32 {
	c := &e.Enrichment.Campaign
	paid := e.Enrichment.Referrer.Kind == "paid"
	if *c == (event.Campaign{}) && !paid {
		return 0
	}
	// FNV-1a.
	h := uint32(2166136261)
	for _, s := range [...]string{c.Source, c.Medium, c.Name, c.ID} {
		for i := range len(s) {
			h = (h ^ uint32(s[i])) * 16777619
		}
		h = (h ^ 0xff) * 16777619
	}
	if paid {
		h = (h ^ 1) * 16777619
	}
	if h == 0 {
		h = 1
	}
	return h
}

// entryOf is the path of the event's page: a query may hold anything.
func entryOf(e *event.Event) string {
	address := e.Context.Page.URL
	if address == "" {
		return ""
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if len(path) > maxEntry {
		path = strings.ToValidUTF8(path[:maxEntry], "")
	}
	return path
}

// form is the version of a value's form.
const form = 1

// encode writes sessions, each about 25 bytes and its path.
func (v *visits) encode() []byte {
	b := append(make([]byte, 0, 48*len(v.list)+1), form)
	before := int64(0)
	for i := range v.list {
		s := &v.list[i]
		b = append(b, s.id[:]...)
		b = binary.AppendVarint(b, s.start-before)
		b = binary.AppendVarint(b, s.last-s.start)
		b = binary.BigEndian.AppendUint32(b, s.campaign)
		b = binary.AppendUvarint(b, uint64(s.n))
		b = binary.AppendUvarint(b, uint64(len(s.entry)))
		b = append(b, s.entry...)
		before = s.start
	}
	return b
}

// decode reads them; of what it does not know nothing is kept.
func decode(b []byte) (v visits) {
	if len(b) == 0 || b[0] != form {
		return v
	}
	b = b[1:]
	before := int64(0)
	for len(b) > 0 {
		var s visit
		if len(b) < len(s.id) {
			return visits{}
		}
		b = b[copy(s.id[:], b):]
		start, n := binary.Varint(b)
		if n <= 0 {
			return visits{}
		}
		length, m := binary.Varint(b[n:])
		if m <= 0 || len(b) < n+m+4 {
			return visits{}
		}
		s.start = before + start
		s.last = s.start + length
		b = b[n+m:]
		s.campaign = binary.BigEndian.Uint32(b)
		count, n := binary.Uvarint(b[4:])
		if n <= 0 {
			return visits{}
		}
		size, m := binary.Uvarint(b[4+n:])
		if m <= 0 || size > uint64(len(b)-4-n-m) {
			return visits{}
		}
		s.n = int(count)
		b = b[4+n+m:]
		s.entry = string(b[:size])
		b = b[size:]
		before = s.start
		v.list = append(v.list, s)
	}
	return v
}
