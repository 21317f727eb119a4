package partnertest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Covers checks that every entry of a partner's table of answers is in a case: each of
// the statuses, as the answer's, and each of the codes, as a whole string within one.
func Covers(t *testing.T, dir string, statuses []int, codes ...string) {
	t.Helper()
	var got []int
	var bodies strings.Builder
	files, err := filepath.Glob(filepath.Join(dir, "*", "response.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds no answers: %v", dir, err)
	}
	told, err := filepath.Glob(filepath.Join(dir, "*", "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, told...)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Status int            `json:"status"`
			Body   jsontext.Value `json:"body"`
		}
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		got = append(got, answer.Status)
		bodies.WriteString(strings.ReplaceAll(string(answer.Body), `\"`, `"`))
	}
	for _, s := range statuses {
		if !slices.Contains(got, s) {
			t.Errorf("no case is answered with %d", s)
		}
	}
	for _, c := range codes {
		if !strings.Contains(bodies.String(), `"`+c+`"`) {
			t.Errorf("no answer of a case holds %s", c)
		}
	}
}
