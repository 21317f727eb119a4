package filearchive

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/event"
)

// shop fills an archive, a part of it merged, and says what a tool must count.
func shop(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	dir = t.TempDir()
	a := open(t, dir, lake.Options{})
	r := rand.New(rand.NewPCG(3, 4))
	var purchases, cents int
	var all []event.Event
	for i := range 3000 {
		e := real(r, i*1000, 3)
		e.PixelID = []string{"px_a", "px_b"}[i%2]
		if e.Name == "purchase" && e.PixelID == "px_a" {
			purchases++
			var whole, part int
			fmt.Sscanf(string(e.Order.Value), "%d.%d", &whole, &part)
			cents += 100*whole + part
		}
		all = append(all, e)
	}
	for i := 0; i < len(all); i += 500 {
		write(t, a, all[i:i+500]...)
		if i%1000 == 500 {
			if _, err := a.File(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, map[string]string{
		"events": fmt.Sprint(len(all) / 2), "ids": fmt.Sprint(len(all) / 2), "purchases": fmt.Sprint(purchases), "worth": fmt.Sprint(float64(cents) / 100),
		"first": all[0].ReceivedAt.Format("2006-01-02 15:04:05"), "city": "Leeds",
	}
}

// question asks the same of every tool: counts, sums, a time, a place, what the path
// says, and what is in the JSON of the properties.
const question = `SELECT count(*) AS events, count(DISTINCT event_id) AS ids,
 sum(CASE WHEN name = 'purchase' THEN 1 ELSE 0 END) AS purchases, round(sum(value), 2) AS worth,
 %s AS first, min(city) AS city, sum(CASE WHEN %s > 0 THEN 1 ELSE 0 END) AS positioned
FROM %s WHERE pixel_id = 'px_a'`

func check(t *testing.T, rows []map[string]any, want map[string]string) {
	t.Helper()
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	for name, v := range want {
		if got := fmt.Sprint(rows[0][name]); got != v {
			t.Errorf("%s: %s, want %s", name, got, v)
		}
	}
	if n := fmt.Sprint(rows[0]["positioned"]); n == "0" || n == "<nil>" {
		t.Errorf("no properties were read: %s", n)
	}
}

func TestClickHouseReadsTheArchive(t *testing.T) {
	dir, want := shop(t)
	s := clickhousetest.Start(t, t.TempDir())
	q := fmt.Sprintf(question, `formatDateTime(min(received_at), '%Y-%m-%d %H:%i:%S', 'UTC')`, `JSONExtractInt(properties, 'position')`,
		"file('"+dir+"/pixel=*/date=*/hour=*/*.parquet', Parquet)") + " FORMAT JSON SETTINGS output_format_json_quote_64bit_integers = 1"
	resp, err := http.Post("http://"+s.Addr()+"/?query="+url.QueryEscape(q), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	var answer struct {
		Data []map[string]any `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	check(t, answer.Data, want)
}

func TestDuckDBReadsTheArchive(t *testing.T) {
	tool, err := filepath.Abs("testdata/duckdb")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(tool, "node_modules")); err != nil {
		t.Skip("SKIPPED: DuckDB is not installed (npm ci --prefix modules/archive/filearchive/testdata/duckdb)")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("SKIPPED: node is not installed (Debian: apt-get install nodejs)")
	}
	dir, want := shop(t)
	q := fmt.Sprintf(question, `strftime(min(received_at AT TIME ZONE 'UTC'), '%Y-%m-%d %H:%M:%S')`, `CAST(json_extract(nullif(properties, ''), '$.position') AS INTEGER)`,
		"read_parquet('"+dir+"/*/*/*/*.parquet', hive_partitioning = true)")
	cmd := exec.Command("node", filepath.Join(tool, "query.mjs"), q)
	cmd.Dir = tool
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%.1500s", err, stderr.String())
	}
	var rows []map[string]any
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	check(t, rows, want)
}
