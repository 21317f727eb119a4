package collector

import (
	"context"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/state"
)

// nobody is a state that knows nothing and keeps nothing.
type nobody struct{ state.Keys }

func (nobody) Get(_ context.Context, keys ...string) ([][]byte, error) {
	return make([][]byte, len(keys)), nil
}
func (nobody) Swap(context.Context, []byte, state.Entry) (bool, error) { return true, nil }
func (nobody) Claim(_ context.Context, entries ...state.Entry) ([][]byte, error) {
	out := make([][]byte, len(entries))
	for i, e := range entries {
		out[i] = e.Value
	}
	return out, nil
}

// strangers is a book in which no visitor is ever known.
func strangers() *consent.Book {
	return consent.NewBook(nobody{}, consent.New(consent.Options{}), []byte("seal"))
}

// recently is a time as clients write it.
func recently() string {
	return time.Now().UTC().Add(-time.Second).Format("2006-01-02T15:04:05.000Z")
}

// raw posts a body to a door of the Segment HTTP API.
func (f *fixture) raw(path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Authorization", basic("px_demo"))
	w := httptest.NewRecorder()
	f.echo.ServeHTTP(w, r)
	return w
}
