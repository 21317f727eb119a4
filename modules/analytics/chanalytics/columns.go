package chanalytics

import (
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// What is stored was accepted already: better kept with a replacement character
// than refused for ever.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// table is how rows become columns: the driver writes a block column by column.
type table[T any] struct {
	name    string
	columns []column[T]
}

type column[T any] struct {
	name string
	take func([]T) any
}

func col[T, V any](name string, f func(*T) V) column[T] {
	return column[T]{name, func(rows []T) any {
		list := make([]V, len(rows))
		for i := range rows {
			list[i] = f(&rows[i])
		}
		return list
	}}
}

// text is bytes that nobody changes any more; the driver, which copies a text into its
// block at once, would first make one of its own of bytes.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// interned makes of texts of which there are few what the driver looks up fastest: each
// is boxed once, and the empty one, which is always there, is nil.
func interned(list []string) []any {
	out := make([]any, len(list))
	boxes := map[string]any{"": nil}
	last, box := "", any(nil)
	for i, s := range list {
		if s != last {
			var there bool
			if box, there = boxes[s]; !there {
				box = s
				boxes[s] = box
			}
			last = s
		}
		out[i] = box
	}
	return out
}

func (t table[T]) names() []string {
	list := make([]string, len(t.columns))
	for i, c := range t.columns {
		list[i] = c.name
	}
	return list
}

// insertSQL names every column, so that one that a later version adds is no matter.
func (t table[T]) insertSQL() string {
	return "INSERT INTO " + t.name + " (" + strings.Join(t.names(), ", ") + ")"
}

// dimensions are those of events that have a column of their own beside the key.
func dimensions() (list []string) {
	for _, d := range analytics.EventDimensions {
		if d != "pixel_id" && d != "name" {
			list = append(list, d)
		}
	}
	return list
}

// The bounds of DateTime64, within which every database keeps microseconds.
var (
	earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2262, 4, 11, 0, 0, 0, 0, time.UTC)
)

// within keeps a client's clock from spoiling a block.
func within(t time.Time) time.Time {
	switch {
	case t.Before(earliest):
		return earliest
	case t.After(latest):
		return latest
	}
	return t.UTC()
}

type eventRow struct {
	e      *event.Event
	value  *float64
	base   *float64
	search []byte
	body   []byte
	keep   uint16
	values []string // by dimensions()
	writer uint32
	seq    uint64
}

var events = func() table[eventRow] {
	t := table[eventRow]{"events", []column[eventRow]{
		col("pixel_id", func(r *eventRow) string { return r.e.PixelID }),
		col("received_at", func(r *eventRow) time.Time { return within(r.e.ReceivedAt) }),
		col("id", func(r *eventRow) string { return r.e.ID }),
		col("time", func(r *eventRow) time.Time { return within(r.e.Time) }),
		col("name", func(r *eventRow) string { return r.e.Name }),
		col("visitor_id", func(r *eventRow) string { return r.e.Subject.VisitorID }),
		col("order_id", func(r *eventRow) string { return r.e.Order.ID }),
		col("value", func(r *eventRow) *float64 { return r.value }),
		col("base_value", func(r *eventRow) *float64 { return r.base }),
		col("url", func(r *eventRow) string { return r.e.Context.Page.URL }),
		col("properties", func(r *eventRow) string { return text(r.e.Properties) }),
		col("search", func(r *eventRow) string { return text(r.search) }),
		col("body", func(r *eventRow) string { return text(r.body) }),
		col("keep_days", func(r *eventRow) uint16 { return r.keep }),
		col("writer", func(r *eventRow) uint32 { return r.writer }),
		col("seq", func(r *eventRow) uint64 { return r.seq }),
	}}
	for i, d := range dimensions() {
		t.columns = append(t.columns, col(d, func(r *eventRow) string { return r.values[i] }))
	}
	return t
}()

// newEventRows do the events' work before anybody waits for it. What is long is
// written into one memory after the other, and not each into one of its own.
func newEventRows(list []event.Event, dims []string, keep func(pixelID string) uint16) []eventRow {
	rows := make([]eventRow, len(list))
	values := make([]string, len(list)*len(dims))
	var room []byte
	for i := range list {
		e := &list[i]
		if cap(room)-len(room) < 4096 { // more than nearly all need; append sees to the others
			room = make([]byte, 0, max(4096, min(len(list)*1024, 1<<20)))
		}
		r := &rows[i]
		r.e, r.keep = e, keep(e.PixelID)
		r.value, r.base = number(e.Order.Value), number(e.Enrichment.Value.Amount)
		r.values, values = values[:len(dims):len(dims)], values[len(dims):]
		for j, d := range dims {
			r.values[j] = analytics.Value(e, d)
		}
		from := len(room)
		room = event.Append(room, e)
		to := len(room)
		room = appendSearchable(room, e)
		r.body, r.search = room[from:to:to], room[to:]
	}
	return rows
}

func number(a event.Amount) *float64 {
	if a == "" {
		return nil // most have none, and an error costs
	}
	if v, err := strconv.ParseFloat(string(a), 64); err == nil {
		return &v
	}
	return nil
}

// appendSearchable appends the column search; see the migration.
func appendSearchable(b []byte, e *event.Event) []byte {
	p := &e.Context.Page
	for _, s := range [...]string{e.Name, p.URL, p.Title} {
		b = appendFolded(append(b, 0xFF), s)
	}
	for _, s := range [...]string{e.ID, e.Order.ID, e.Subject.VisitorID} {
		b = appendFolded(append(b, 0xFE), s)
	}
	return b
}

// appendFolded appends fold(s), of which nearly all is ASCII.
func appendFolded(b []byte, s string) []byte {
	from := len(b)
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			return append(b[:from], fold(s)...)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// fold ignores letter case, and leaves no byte that is not UTF-8.
func fold(s string) string { return strings.ToLower(strings.ToValidUTF8(s, "\uFFFD")) }

type syncRow struct {
	event.Sync
	body string
	keep uint16
	seq  uint64
}

var syncs = table[syncRow]{"syncs", []column[syncRow]{
	col("event_id", func(r *syncRow) string { return r.EventID }),
	col("pixel_id", func(r *syncRow) string { return r.PixelID }),
	col("partner", func(r *syncRow) string { return r.Partner }),
	col("attempt", func(r *syncRow) int32 { return int32(r.Attempt) }),
	col("at", func(r *syncRow) time.Time { return within(r.At) }),
	col("outcome", func(r *syncRow) string { return string(r.Outcome) }),
	col("code", func(r *syncRow) string { return r.Code }),
	col("order_id", func(r *syncRow) string { return r.OrderID }),
	col("latency", func(r *syncRow) int64 { return int64(r.Latency) }),
	col("body", func(r *syncRow) string { return r.body }),
	col("keep_days", func(r *syncRow) uint16 { return r.keep }),
	col("seq", func(r *syncRow) uint64 { return r.seq }),
}}

type matchRow struct {
	event.Match
	keep uint16
	seq  uint64
}

var matches = table[matchRow]{"matches", []column[matchRow]{
	col("event_id", func(r *matchRow) string { return r.EventID }),
	col("pixel_id", func(r *matchRow) string { return r.PixelID }),
	col("partner", func(r *matchRow) string { return r.Partner }),
	col("received_at", func(r *matchRow) time.Time { return within(r.ReceivedAt) }),
	col("name", func(r *matchRow) string { return r.Name }),
	col("grade", func(r *matchRow) string { return string(r.Grade) }),
	col("keys", func(r *matchRow) []string { return r.Keys }),
	col("missing", func(r *matchRow) []string { return r.Missing }),
	col("keep_days", func(r *matchRow) uint16 { return r.keep }),
	col("seq", func(r *matchRow) uint64 { return r.seq }),
}}

type receiptRow struct {
	event.ConsentReceipt
	body string
	seq  uint64
}

var receipts = table[receiptRow]{"consent_receipts", []column[receiptRow]{
	col("pixel_id", func(r *receiptRow) string { return r.PixelID }),
	col("subject", func(r *receiptRow) string { return r.Subject }),
	col("at", func(r *receiptRow) time.Time { return within(r.At) }),
	col("hash", func(r *receiptRow) string { return r.Hash }),
	col("state", func(r *receiptRow) string { return string(r.Verdict.State) }),
	col("body", func(r *receiptRow) string { return r.body }),
	col("seq", func(r *receiptRow) uint64 { return r.seq }),
}}

var identities = table[analytics.Identity]{"identities", []column[analytics.Identity]{
	col("pixel_id", func(r *analytics.Identity) string { return r.PixelID }),
	col("visitor_id", func(r *analytics.Identity) string { return r.VisitorID }),
	col("profile_id", func(r *analytics.Identity) string { return r.ProfileID }),
	col("version", func(r *analytics.Identity) int64 { return r.Version }),
}}

type touchRow struct {
	event.Touchpoint
	keep uint16
	seq  uint64
}

var touches = table[touchRow]{"touches", []column[touchRow]{
	col("id", func(r *touchRow) string { return r.ID }),
	col("pixel_id", func(r *touchRow) string { return r.PixelID }),
	col("visitor_id", func(r *touchRow) string { return r.VisitorID }),
	col("event_id", func(r *touchRow) string { return r.EventID }),
	col("at", func(r *touchRow) time.Time { return within(r.At) }),
	col("kind", func(r *touchRow) string { return string(r.Kind) }),
	col("channel", func(r *touchRow) string { return r.Channel }),
	col("source", func(r *touchRow) string { return r.Source }),
	col("campaign", func(r *touchRow) string { return r.Campaign }),
	col("partner", func(r *touchRow) string { return r.Partner }),
	col("keep_days", func(r *touchRow) uint16 { return r.keep }),
	col("seq", func(r *touchRow) uint64 { return r.seq }),
}}

type creditRow struct {
	*event.Credits
	body string
	keep uint16
	seq  uint64
}

// shares is one field of all of a set's.
func shares[V any](name string, f func(*event.Share) V) column[creditRow] {
	return col(name, func(r *creditRow) []V {
		list := make([]V, len(r.Shares))
		for i := range r.Shares {
			list[i] = f(&r.Shares[i])
		}
		return list
	})
}

var creditSets = table[creditRow]{"credit_sets", []column[creditRow]{
	col("event_id", func(r *creditRow) string { return r.EventID }),
	col("pixel_id", func(r *creditRow) string { return r.PixelID }),
	col("model", func(r *creditRow) string { return r.Model }),
	col("version", func(r *creditRow) int64 { return r.Version }),
	col("received_at", func(r *creditRow) time.Time { return within(r.ReceivedAt) }),
	col("name", func(r *creditRow) string { return r.Name }),
	col("currency", func(r *creditRow) string { return r.Currency }),
	shares("touch_id", func(s *event.Share) string { return s.ID }),
	shares("kind", func(s *event.Share) string { return string(s.Kind) }),
	shares("channel", func(s *event.Share) string { return s.Channel }),
	shares("source", func(s *event.Share) string { return s.Source }),
	shares("campaign", func(s *event.Share) string { return s.Campaign }),
	shares("partner", func(s *event.Share) string { return s.Partner }),
	shares("weight", func(s *event.Share) int64 { return s.Weight }),
	shares("value", func(s *event.Share) int64 { return s.Value }),
	shares("refunded", func(s *event.Share) int64 { return s.Refunded }),
	col("body", func(r *creditRow) string { return r.body }),
	col("keep_days", func(r *creditRow) uint16 { return r.keep }),
	col("seq", func(r *creditRow) uint64 { return r.seq }),
}}
