package admin

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
