package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestLengthsAreInCharacters(t *testing.T) {
	of := func(n int) string { return strings.Repeat("ж", n) }
	if err := checkPassword(of(500), "ada"); err != nil {
		t.Errorf("a password of 500: %v", err)
	}
	if err := checkPassword(of(501), "ada"); err == nil || !strings.Contains(err.Error(), "500 characters") {
		t.Errorf("a password of 501: %v", err)
	}
	b := open(t)
	for n, status := range map[int]int{500: http.StatusOK, 501: http.StatusBadRequest} {
		got := b.call(adminToken, http.MethodGet, base+"/reports/timeseries?"+url.Values{"name": {of(n)}}.Encode(), nil)
		if got.status != status || status != http.StatusOK && !strings.Contains(got.body, "500 characters") {
			t.Errorf("a name of %d: %d %.300s", n, got.status, got.body)
		}
	}
}
