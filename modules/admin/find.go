package admin

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
)

// Whom or what somebody looks for never stands in an address: addresses stay in
// histories, bookmarks and the logs of proxies. A search is posted, and the page that it
// leads to has it in its address sealed: opaque, and of no use after a day.

// sought is what a person looks for. One of them is set.
type sought struct {
	Words    string    `json:"q,omitempty"`        // of an event
	Visitor  string    `json:"visitor,omitempty"`  // its id
	Order    string    `json:"order,omitempty"`    // its id
	Identity string    `json:"identity,omitempty"` // any identifier of a person, or a profile's
	At       time.Time `json:"at"`
}

const (
	soughtName = "console search"
	soughtLife = 24 * time.Hour
	// mostSought is the longest thing that is looked for, in bytes.
	mostSought = 500
)

var errSought = errors.New("is of a search that is older than a day, or not whole: search again")

// seal is what an address has in place of what is looked for.
func (a *Admin) seal(s sought) string {
	s.At = a.now().UTC()
	b, err := json.Marshal(s)
	if err != nil {
		return "" // a struct of strings can be written
	}
	return base64.RawURLEncoding.EncodeToString(a.o.Box.Seal(soughtName, b))
}

// unseal reads it; nothing looks for nothing.
func (a *Admin) unseal(handle string) (s sought, err error) {
	if handle == "" {
		return s, nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(handle)
	if err != nil {
		return s, errSought
	}
	b, err := a.o.Box.Open(soughtName, sealed)
	if err != nil || json.Unmarshal(b, &s) != nil || a.now().Sub(s.At) > soughtLife {
		return sought{}, errSought
	}
	return s, nil
}

// sought is what a request's address looks for.
func (a *Admin) sought(c *echo.Context) (sought, error) { return a.unseal(c.QueryParam("find")) }

// handle is seal for templates: of an order, a visitor or an identity.
func (a *Admin) handle(kind, value string) string {
	return a.seal(map[string]sought{"order": {Order: value}, "visitor": {Visitor: value}, "identity": {Identity: value}}[kind])
}

// wanted is what a form looks for, by one of its fields.
func wanted(c *echo.Context, field string) string {
	v := strings.TrimSpace(c.FormValue(field))
	if len(v) > mostSought {
		v = strings.ToValidUTF8(v[:mostSought], "")
	}
	return v
}

// narrow puts it into a filter of events.
func (s sought) narrow(f *analytics.EventFilter) {
	if s.Words != "" {
		f.Query = s.Words
	}
	if s.Visitor != "" {
		f.VisitorID = s.Visitor
	}
	if s.Order != "" {
		f.OrderID = s.Order
	}
}
