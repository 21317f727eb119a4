package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
)

func TestEveryProblemSaysWhatToDo(t *testing.T) {
	// Whom a page of administrators is shown to is one, but for people, whom only they ask for.
	paths := map[string]bool{"/people": true}
	for _, r := range (&Admin{}).pages() {
		if r.method == http.MethodGet && r.need != Administrator {
			paths[r.path] = true
		}
	}
	var all []httpserver.Problem
	for code := range waysOut {
		all = append(all, httpserver.Problem{Status: http.StatusBadRequest, Code: code})
	}
	for status := 400; status < 600; status++ {
		if http.StatusText(status) != "" {
			all = append(all, httpserver.Problem{Status: status})
		}
	}
	for _, p := range all {
		r := wayOutOf(&p)
		if r.Text == "" || r.Label == "" || !paths[r.Link] {
			t.Errorf("%d %s: %+v leads nowhere", p.Status, p.Code, r)
		}
	}
}

func TestAWayOutIsOfAProblemThatThereIs(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range append(files, "../httpserver/httpserver.go", "../httpserver/around.go") {
		if f == "way_out.go" || strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	for code := range waysOut {
		if !regexp.MustCompile(`"` + code + `"`).MatchString(text.String()) {
			t.Errorf("nothing has the code %s", code)
		}
	}
}

func TestAStoreThatIsAwayIsSaidToBeAway(t *testing.T) {
	b := open(t)
	for accept, want := range map[string]string{"text/html": "A store does not answer, or is busy.", "application/json": ""} {
		r := httptest.NewRequest(http.MethodGet, "/queues", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		err := b.shell(func(*echo.Context) error {
			return fmt.Errorf("read the queues: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
		})(echo.New().NewContext(r, w))
		if want == "" {
			if httpserver.Away(err) == nil {
				t.Errorf("a program is told %v", err)
			}
			continue
		}
		if err != nil || w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), want) {
			t.Errorf("somebody is told %d %.300s, %v", w.Code, w.Body, err)
		}
	}
}
