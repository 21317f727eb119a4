package settings

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func TestASchemasLastVersionCounts(t *testing.T) {
	var s Schemas
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	put := func(event, body string) SchemaVersion { return s.Put(event, jsontext.Value(body), "ann", now) }
	put("purchase", `{"a":1}`)
	put("login", `{}`)
	if v := put("purchase", `{"b":1}`); v.Version != 2 || v.By != "ann" {
		t.Errorf("%+v", v)
	}
	if got := fmt.Sprint(s.Current()); got != `[{login {}} {purchase {"b":1}}]` {
		t.Error(got)
	}
	put("purchase", "")
	if got := fmt.Sprint(s.Current()); got != `[{login {}}]` {
		t.Error(got)
	}
	for i := range 30 {
		put("purchase", fmt.Sprintf(`{"title":"%d"}`, i))
	}
	if n := len(s.Own); n != maxVersions+1 {
		t.Errorf("%d versions are kept", n)
	}
	if v := s.Own[len(s.Own)-1]; v.Version != 33 {
		t.Errorf("%+v", v)
	}
	var v Invalid
	if s.validate(&v); len(v) != 0 {
		t.Error(v)
	}
	put("purchase", `{"type":"things"}`)
	s.Mode = "maybe"
	if s.validate(&v); len(v) != 2 || v[0].Field != "schemas.mode" || v[1].Field != "schemas.purchase" {
		t.Error(v)
	}
}
