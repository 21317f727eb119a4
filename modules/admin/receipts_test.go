package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
)

func TestConsentReceipts(t *testing.T) {
	b := open(t)
	ctx := t.Context()
	ask[map[string]any](b, "POST", "/api/v1/pixels", map[string]any{"id": "px_shop", "name": "Shop", "consent_mode": "cmp"}, http.StatusCreated)
	book := b.Admin.o.Book
	for i, s := range []event.State{event.Full, event.Partial, event.None} {
		receipts, err := book.Decide(ctx, consent.Change{
			Visitor: consent.Visitor{PixelID: "px_shop", ID: "visitor-1"}, At: time.Now().Add(time.Duration(i) * time.Second),
			Verdict: event.Verdict{State: s, Regime: "gdpr", Rule: "R1/G5", Reason: "Because <script>alert(1)</script>."},
			Signals: event.Consent{USPrivacy: "1YNN", State: s}, Source: "web", ID: "e",
		})
		must(t, err)
		must(t, b.store.WriteReceipts(ctx, receipts...))
	}
	type chain struct {
		PixelID  string                 `json:"pixel_id"`
		Current  string                 `json:"current"`
		Revoked  bool                   `json:"revoked"`
		Intact   bool                   `json:"intact"`
		Receipts []event.ConsentReceipt `json:"receipts"`
	}
	type list struct {
		Items []chain `json:"items"`
	}
	for _, query := range []string{"visitor_id=visitor-1", "visitor_id=visitor-1&pixel_id=px_shop"} {
		got := ask[list](b, "GET", "/api/v1/consent/receipts?"+query, nil, http.StatusOK)
		if len(got.Items) != 1 || !got.Items[0].Intact || !got.Items[0].Revoked || got.Items[0].Current != "none" || len(got.Items[0].Receipts) != 3 || got.Items[0].Receipts[0].Verdict.State != event.Full {
			t.Errorf("%s: %+v", query, got)
		}
	}
	if got := ask[list](b, "GET", "/api/v1/consent/receipts?visitor_id=nobody", nil, http.StatusOK); len(got.Items) != 0 {
		t.Errorf("nobody: %+v", got)
	}
	if got := b.call(adminToken, "GET", "/api/v1/consent/receipts", nil); got.status != http.StatusBadRequest || !strings.Contains(got.body, "visitor_id") {
		t.Errorf("without an id: %d %s", got.status, got.body)
	}

	w := b.as(Administrator)
	page := w.get(b.at("/privacy/receipts?find={visitor:visitor-1}"))
	contains(t, page.body, "intact", "px_shop", "Export JSON", "1YNN", "&lt;script&gt;")
	if strings.Contains(page.body, "<script>alert") {
		t.Error("a reason became a part of the page")
	}
	contains(t, w.get(b.at("/privacy/receipts?find={visitor:nobody}")).body, "No receipts of this visitor")
	file := w.get(b.at("/privacy/receipts/export?find={visitor:visitor-1}"))
	contains(t, file.body, `"intact": true`, `"subject"`)
	if !strings.Contains(file.header.Get("Content-Disposition"), "attachment") {
		t.Error("the export is no file")
	}
	audit := b.call(adminToken, "GET", "/api/v1/audit", nil)
	contains(t, audit.body, "receipts.export")
	if strings.Contains(audit.body, "visitor-1") {
		t.Error("the audit log holds the visitor's id")
	}
	for _, role := range []Role{Viewer, Marketer} {
		if got := b.as(role).get(b.at("/privacy/receipts?find={visitor:visitor-1}")); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", role, got.status)
		}
	}
}
