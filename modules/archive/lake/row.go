package lake

import (
	"bytes"
	"strconv"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/miq/pixel/modules/event"
)

// row is an event in a file: what people ask about in columns of its own, and all
// the rest in Event. Columns are added at the end and never change their meaning.
type row struct {
	EventID    string `parquet:"event_id"`
	PixelID    string `parquet:"pixel_id,dict"`
	Name       string `parquet:"name,dict"`
	ReceivedAt int64  `parquet:"received_at,timestamp(microsecond),delta"`
	EventTime  *int64 `parquet:"event_time,optional,timestamp(microsecond)"` // by the client's clock
	Source     string `parquet:"source,dict"`
	Priority   string `parquet:"priority,dict"`

	Consent string `parquet:"consent,dict"` // none, partial, full
	Regime  string `parquet:"consent_regime,dict"`

	VisitorID   string `parquet:"visitor_id"`
	AnonymousID string `parquet:"anonymous_id"`
	UserID      string `parquet:"user_id"`

	OrderID  string   `parquet:"order_id"`
	Value    *float64 `parquet:"value,optional"` // the digits that came are in event
	Currency string   `parquet:"currency,dict"`

	PageURL   string `parquet:"page_url"`
	PageTitle string `parquet:"page_title,dict"`
	Referrer  string `parquet:"referrer,dict"`

	UTMSource    string `parquet:"utm_source,dict"`
	UTMMedium    string `parquet:"utm_medium,dict"`
	UTMCampaign  string `parquet:"utm_campaign,dict"`
	ReferrerKind string `parquet:"referrer_kind,dict"`
	ReferrerHost string `parquet:"referrer_host,dict"`

	Device  string `parquet:"device,dict"`
	Browser string `parquet:"browser,dict"`
	OS      string `parquet:"os,dict"`
	Bot     string `parquet:"bot,dict"`
	Country string `parquet:"country,dict"`
	Region  string `parquet:"region,dict"`
	City    string `parquet:"city,dict"`

	SessionID string   `parquet:"session_id"`
	BaseValue *float64 `parquet:"base_value,optional"` // in the base currency

	// Properties is JSON, as the page sent it; empty where it sent none.
	Properties string `parquet:"properties"`
	// Event is the whole event but for Properties, in the form of event.Encode.
	Event []byte `parquet:"event"`
}

// fill takes an event; room is for its bytes.
func (r *row) fill(e *event.Event, room []byte) {
	*r = row{
		EventID: e.ID, PixelID: e.PixelID, Name: e.Name, ReceivedAt: e.ReceivedAt.UnixMicro(),
		Source: e.Source, Priority: string(e.Priority), Consent: string(e.Verdict.State), Regime: e.Verdict.Regime,
		VisitorID: e.Subject.VisitorID, AnonymousID: e.Subject.AnonymousID, UserID: e.Subject.UserID,
		OrderID: e.Order.ID, Currency: e.Order.Currency,
		PageURL: e.Context.Page.URL, PageTitle: e.Context.Page.Title, Referrer: e.Context.Page.Referrer,
		UTMSource: e.Enrichment.Campaign.Source, UTMMedium: e.Enrichment.Campaign.Medium, UTMCampaign: e.Enrichment.Campaign.Name,
		ReferrerKind: e.Enrichment.Referrer.Kind, ReferrerHost: e.Enrichment.Referrer.Host,
		Device: e.Enrichment.Device.Class, Browser: e.Enrichment.Device.Browser, OS: e.Enrichment.Device.OS, Bot: e.Enrichment.Bot,
		Country: e.Enrichment.Place.Country, Region: e.Enrichment.Place.Region, City: e.Enrichment.Place.City,
		Properties: string(e.Properties),
	}
	if !e.Time.IsZero() {
		at := e.Time.UnixMicro()
		r.EventTime = &at
	}
	if v, err := strconv.ParseFloat(string(e.Order.Value), 64); err == nil {
		r.Value = &v
	}
	if r.Country == "" {
		r.Country = e.Subject.Country
	}
	r.SessionID = e.Enrichment.Session.ID
	if v, err := strconv.ParseFloat(string(e.Enrichment.Value.Amount), 64); err == nil {
		r.BaseValue = &v
	}
	rest := *e
	rest.Properties = nil
	r.Event = event.Append(room, &rest)
}

// writer makes Parquet files in memory, one after the other. It is some ten megabytes of
// buffers, so that few are made and each is used again (Lake.borrow).
type writer struct {
	buf   *bytes.Buffer
	out   *parquet.GenericWriter[row]
	rows  []row
	n     int
	first int64 // of received_at, in microseconds
	last  int64
}

const (
	rowsAtOnce = 256
	rowGroup   = 1 << 15
	// pageSize is set aside for each of forty columns.
	pageSize = 256 << 10
	// rowSize is about what an event takes in a file.
	rowSize = 160
)

// newWriter compresses fast what will be merged soon, and better what stays.
func newWriter(level zstd.Level) *writer {
	w := &writer{buf: &bytes.Buffer{}, rows: make([]row, 0, rowsAtOnce)}
	w.out = parquet.NewGenericWriter[row](w.buf,
		parquet.Compression(&zstd.Codec{Level: level}),
		parquet.CreatedBy("pixel", "1", ""),
		parquet.PageBufferSize(pageSize),
		parquet.MaxRowsPerRowGroup(rowGroup),
		parquet.SkipPageBounds("event"), parquet.SkipPageBounds("properties"),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("received_at"))),
	)
	return w
}

// begin makes it ready for a file of about so many rows.
func (w *writer) begin(rows int) {
	w.buf = &bytes.Buffer{}
	w.buf.Grow(rowSize * rows)
	w.out.Reset(w.buf)
	w.drop()
	w.n = 0
}

// add writes an event.
func (w *writer) add(e *event.Event) error {
	w.rows = w.rows[:len(w.rows)+1]
	r := &w.rows[len(w.rows)-1]
	r.fill(e, r.Event[:0])
	if w.n == 0 || r.ReceivedAt < w.first {
		w.first = r.ReceivedAt
	}
	if w.n == 0 || r.ReceivedAt > w.last {
		w.last = r.ReceivedAt
	}
	w.n++
	if len(w.rows) < rowsAtOnce {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	_, err := w.out.Write(w.rows)
	w.drop()
	return err
}

// drop forgets the rows, but for the room of their events.
func (w *writer) drop() {
	for i := range w.rows {
		w.rows[i] = row{Event: w.rows[i].Event}
	}
	w.rows = w.rows[:0]
}

// finish returns the file, which is the caller's.
func (w *writer) finish() ([]byte, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	if err := w.out.Close(); err != nil {
		return nil, err
	}
	body := w.buf.Bytes()
	w.buf = nil
	return body, nil
}
