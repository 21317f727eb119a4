package dv360

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Encode makes a request to the API that is set.
func (Adapter) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	s, err := readSettings(b.Settings)
	if err != nil {
		return nil, nil, err
	}
	if s.API == apiDataManager {
		return encodeEvents(ctx, b, s)
	}
	return encodeConversions(ctx, b, s)
}

func post(ctx context.Context, address, token string, body any) (*http.Request, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode for Google: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("request to Google: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

// Decode sorts an answer of either API.
func (Adapter) Decode(a partner.Answer, sent []event.Delivery) partner.Receipt {
	s, _ := readSettings(a.Settings)
	var r partner.Receipt
	if s.API == apiDataManager {
		r = decodeEvents(a, s, sent)
	} else {
		r = decodeConversions(a, sent)
	}
	return r
}
