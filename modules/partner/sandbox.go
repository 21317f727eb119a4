package partner

import (
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Imitation is what an endpoint of a sandbox makes of a request.
type Imitation struct {
	Status     int
	Header     http.Header
	Body       any // encoded as JSON; a string is sent as plain text
	EventIDs   []string
	OrderIDs   []string
	Duplicates []string
}

// Imitate is an endpoint of an adapter's sandbox: it reads at most max bytes,
// lets answer decide, records the exchange and answers. What is not JSON is
// recorded as a JSON string.
func Imitate(name string, max int64, record func(Received), answer func(*http.Request, []byte) Imitation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
		var a Imitation
		switch {
		case err != nil && int64(len(body)) >= max:
			a = Imitation{Status: http.StatusRequestEntityTooLarge, Body: "the request is too large"}
		case err != nil:
			a = Imitation{Status: http.StatusBadRequest, Body: "the request broke off"}
		default:
			a = answer(r, body)
		}
		text, plain := a.Body.(string)
		raw := []byte(text)
		if !plain {
			if raw, err = json.Marshal(a.Body, json.Deterministic(true)); err != nil {
				a.Status, raw = http.StatusInternalServerError, []byte(`{}`)
			}
		}
		got := jsontext.Value(body)
		if !got.IsValid() {
			got, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(string(body), "\uFFFD"))
		}
		record(Received{
			Partner: name, At: time.Now(), Path: r.URL.Path, Status: a.Status,
			EventIDs: a.EventIDs, OrderIDs: a.OrderIDs, Duplicates: a.Duplicates,
			Body: got, Answer: string(raw),
		})
		for k, v := range a.Header {
			w.Header()[k] = v
		}
		kind := "application/json"
		if plain {
			kind = "text/plain; charset=utf-8"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(a.Status)
		_, _ = w.Write(raw)
	}
}

// Grants is a sandbox's token endpoint, by OAuth 2: grant answers a form with a token, or
// says what is wrong. A client that is wrong has a status of its own with some partners.
// Nothing is recorded, since what is sent there is secret.
func Grants(wrongClient int, grant func(*http.Request) (answer any, code, text string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		code, text := "invalid_request", "the body must be a form"
		var answer any
		if kind == "application/x-www-form-urlencoded" && r.ParseForm() == nil {
			answer, code, text = grant(r)
		}
		status := http.StatusOK
		switch code {
		case "":
		case "invalid_client":
			status = wrongClient
		default:
			status = http.StatusBadRequest
		}
		if code != "" {
			answer = map[string]string{"error": code, "error_description": text}
		}
		Hand(w, status, answer)
	}
}

// Hand answers a request to a sandbox that is not recorded.
func Hand(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, v, json.Deterministic(true))
}
