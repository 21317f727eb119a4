package chanalytics

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/clickhousetest"
)

// soloist stands before an engine that has no Keeper and no cluster. It notes each
// statement as it came, and takes out of it what needs them: so that all that is said to a
// cluster is seen, and the rest goes on.
type soloist struct {
	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	heard []statement
}

type statement struct {
	text, quorum string
}

var forCluster = strings.NewReplacer(
	"ENGINE = Replicated", "ENGINE = ", "replicated_deduplication_window", "non_replicated_deduplication_window",
	"clusterAllReplicas('a \\'cluster\\' \\\\', ", "view(SELECT * FROM ",
)

var remark = regexp.MustCompile(`(?m)^\s*--.*$`)

var onCluster = regexp.MustCompile(`ON CLUSTER '(?:[^'\\]|\\.)*'`)

func (s *soloist) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	text := q.Get("query")
	whole := text == "" && !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/")
	if whole {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		text = string(body)
	}
	s.mu.Lock()
	s.heard = append(s.heard, statement{strings.TrimSpace(text), q.Get("insert_quorum")})
	s.mu.Unlock()
	if whole {
		text = forCluster.Replace(onCluster.ReplaceAllString(text, ""))
		if strings.HasPrefix(text, "SYSTEM SYNC REPLICA") {
			text = "SELECT 1"
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader([]byte(text))), int64(len(text))
	}
	s.proxy.ServeHTTP(w, r)
}

// There is no cluster to try this on. What can be shown is that with the one setting every
// statement is for a cluster, that the engine reads each as it is, and that nothing else
// changes: rows, series, erasure.
func TestWithAClusterEachStatementIsForTheCluster(t *testing.T) {
	t.Parallel()
	const cluster = `a 'cluster' \`
	engine := clickhousetest.Start(t, "")
	target, err := url.Parse("http://" + engine.Addr())
	if err != nil {
		t.Fatal(err)
	}
	solo := &soloist{proxy: httputil.NewSingleHostReverseProxy(target)}
	server := httptest.NewServer(solo)
	defer server.Close()
	c := settings(server.URL + "/px?compress=none")
	c.Cluster = cluster
	if list, err := Migrate(t.Context(), c); err != nil || len(list) == 0 {
		t.Fatalf("migrated %v, %v", list, err)
	}
	s := opened(t, c)
	s.settle, s.fresh = 0, 0
	events := analyticstest.Events(4, 120, 3*time.Hour)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteSyncs(t.Context(), analyticstest.Syncs(4, events)...); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{sourceEvents, sourceSyncs} {
		if n, err := s.Count(t.Context(), source); err != nil || n == 0 {
			t.Fatalf("%d passes over %s, %v", n, source, err)
		}
	}
	recounted(t, s)
	if done, err := s.Erase(t.Context(), analytics.Erasure{PixelID: events[0].PixelID, Events: []string{events[0].ID}}); err != nil || done.Events != 1 {
		t.Errorf("erased %+v, %v", done, err)
	}
	if _, err := s.remains(t.Context()); err != nil {
		t.Error(err)
	}

	made, inserts, waits, everywhere := 0, 0, 0, 0
	solo.mu.Lock()
	defer solo.mu.Unlock()
	for _, h := range solo.heard {
		h.text = strings.TrimSpace(remark.ReplaceAllString(h.text, ""))
		verb, _, _ := strings.Cut(h.text, " ")
		switch {
		case verb == "CREATE", verb == "DROP", verb == "RENAME", verb == "ALTER" && !strings.Contains(h.text, "APPLY DELETED MASK"):
			if !onCluster.MatchString(h.text) {
				t.Errorf("it is done on one host alone: %.200s", h.text)
			}
			_, of, is := strings.Cut(h.text, "ENGINE = ")
			if is && verb == "CREATE" && !strings.HasPrefix(of, "Replicated") && !strings.HasPrefix(of, "Null") && !strings.Contains(h.text, "TABLE migration_lock ") {
				t.Errorf("its rows are on one host alone: %.200s", h.text)
			}
			// The place in Keeper and the name of the replica are the server's
			// (default_replica_path, {shard} and {replica}): no arguments.
			if strings.HasPrefix(of, "Replicated") && strings.Contains(of[:strings.IndexByte(of+"\n", '\n')], "'/") {
				t.Errorf("it has a place of its own in Keeper: %.200s", h.text)
			}
			if verb == "CREATE" {
				made++
			}
		case verb == "INSERT":
			if !strings.Contains(h.text, "schema_migrations") && h.quorum != "auto" {
				t.Errorf("it does not wait for a majority: %.200s", h.text)
			}
			inserts++
			continue // its data are not there to be read
		case strings.HasPrefix(h.text, "SYSTEM SYNC REPLICA"):
			waits++
		case strings.Contains(h.text, "clusterAllReplicas("):
			everywhere++
			continue // it wants to know the cluster
		case verb != "DELETE":
			continue
		}
		if _, err := engine.Ask("EXPLAIN AST " + h.text); err != nil && !strings.HasPrefix(h.text, "SYSTEM") {
			t.Errorf("the engine does not read it: %v", err)
		}
	}
	t.Logf("%d made, %d inserts, %d waits for what others confirmed, %d questions to all hosts", made, inserts, waits, everywhere)
	if made < 20 || inserts < 6 || waits < 4 || everywhere == 0 {
		t.Error("that is less than there must be")
	}
}
