package yahoo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// encodePostback makes the postback of a click: one conversion, told by the click
// id that Yahoo put into the landing page's address.
func encodePostback(ctx context.Context, b partner.Batch, s settings) (*http.Request, []partner.Result, error) {
	var refused []partner.Result
	var form url.Values
	for _, d := range b.Deliveries {
		if form != nil {
			// One at a time, by LimitsIn.
			again := partner.Refuse(d, event.Retry, "one_at_a_time", "waits: the click postback takes one conversion a request")
			again.After = 1
			refused = append(refused, *again)
			continue
		}
		f, no := postbackForm(d, s, b)
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		form = f
	}
	if form == nil {
		return nil, refused, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, postbackAddress(b.Endpoint), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fmt.Errorf("postback to Yahoo: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, refused, nil
}

func postbackForm(d event.Delivery, s settings, b partner.Batch) (url.Values, *partner.Result) {
	p, at, no := check(d, s, b.Now)
	if no != nil {
		return nil, no
	}
	vmcid := click(d.Event, "vmcid")
	switch {
	case s.ClickPartnerID == "":
		return nil, partner.Refuse(d, event.Rejected, "bad_settings", "the click postback needs the partner id that Yahoo issued (click_partner_id)")
	case vmcid == "":
		return nil, partner.Refuse(d, event.NotSent, "no_key", "not sent: the click postback needs a Yahoo click id (vmcid), and the event carries none")
	}
	form := url.Values{
		"id": {d.Key()}, "vmcid": {vmcid}, "dp": {s.ClickPartnerID},
		"et": {strconv.FormatInt(at.UnixMilli(), 10)}, "ea": {eventName(p, d.Event.Name)}, ".yp": {p.PixelID},
	}
	if len(d.Event.Order.Items) > 0 {
		if category := partner.Text(d.Event.Order.Items[0].Category, maxText); category != "" {
			form.Set("ec", category)
		}
	}
	if value := partner.Number(d.Event.Order.Value); value != "" {
		form.Set("gv", value)
		currency, no := currencyOf(d, s, p)
		if no != nil {
			return nil, no
		}
		if currency != "" {
			form.Set("gc", currency)
		}
	}
	return form, nil
}
