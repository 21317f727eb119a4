package ttd

import (
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

const sandboxBytes = 28_600_000

// Sandbox imitates both calls. Ids that begin with "undefined" are taken for
// tags and names that nobody defined, and a Data API token that begins with
// "revoked" for one without rights.
func (Adapter) Sandbox(record func(partner.Received)) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+realTimePath, partner.Imitate("ttd", sandboxBytes, record, imitateRealTime))
	mux.Handle("POST "+offlinePath, partner.Imitate("ttd", sandboxBytes, record, imitateOffline))
	return mux
}

func refusal(status int, text string) partner.Imitation {
	return partner.Imitation{Status: status, Body: text}
}

func plainJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

func imitateRealTime(r *http.Request, body []byte) partner.Imitation {
	if r.Header.Get("Authorization") != "" {
		return refusal(http.StatusBadRequest, "unexpected Authorization header: the ids in the body say whose event it is")
	}
	if !plainJSON(r) {
		return refusal(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	var in struct {
		Data []jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil || len(in.Data) == 0 {
		return refusal(http.StatusBadRequest, `the body must be {"data":[event, …]}`)
	}
	out := struct {
		Message        *string     `json:"Message"`
		EventResponses []aResponse `json:"EventResponses"`
	}{EventResponses: []aResponse{}}
	a := partner.Imitation{Status: http.StatusOK}
	for i, raw := range in.Data {
		var e anEvent
		if err := json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)); err != nil {
			out.EventResponses = append(out.EventResponses, aResponse{i, []anError{{"InvalidEvent", err.Error()}}, []string{}, false})
			continue
		}
		if strings.HasPrefix(text(e.TrackerID)+text(e.UPixelID), "undefined") || strings.HasPrefix(text(e.EventName), "undefined") {
			return refusal(http.StatusPaymentRequired, "the tag or the event name is not defined")
		}
		if code, message := faults(e); code != "" {
			out.EventResponses = append(out.EventResponses, aResponse{i, []anError{{code, message}}, []string{}, false})
			continue
		}
		if e.OrderID != nil {
			a.OrderIDs = append(a.OrderIDs, *e.OrderID)
		}
	}
	if len(out.EventResponses) > 0 {
		a.Status = http.StatusBadRequest
	}
	a.Body = out
	return a
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
