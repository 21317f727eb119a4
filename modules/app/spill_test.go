package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/redistest"
)

// look returns the answer to a GET.
func look(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestEventsThatComeWhileRedisIsAwayAreStoredAndDeliveredLater(t *testing.T) {
	var only redis.UniversalClient
	for name, c := range map[string]struct {
		leave, back func(*testing.T, *redistest.Server)
	}{
		"killed": {
			func(_ *testing.T, s *redistest.Server) { s.Kill() },
			func(t *testing.T, s *redistest.Server) { s.Restart(t) },
		},
		// As where a password was changed, and here it is still the one before.
		"with another password": {
			func(t *testing.T, s *redistest.Server) { tell(t, s.Client(t), "CONFIG SET requirepass another") },
			func(t *testing.T, s *redistest.Server) {
				c := s.Client(t)
				_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
					p.Do(t.Context(), "AUTH", "another")
					p.Do(t.Context(), "CONFIG", "SET", "requirepass", "")
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			},
		},
		"full of clients": {
			func(t *testing.T, s *redistest.Server) { only = s.Client(t); tell(t, only, "CONFIG SET maxclients 1") },
			func(t *testing.T, _ *redistest.Server) { tell(t, only, "CONFIG SET maxclients 1000") },
		},
	} {
		t.Run(name, func(t *testing.T) { outage(t, c.leave, c.back) })
	}
}

// tell sends commands, and ends all other connections.
func tell(t *testing.T, c redis.UniversalClient, commands ...string) {
	t.Helper()
	for _, line := range append(commands, "CLIENT KILL TYPE normal") {
		var args []any
		for _, word := range strings.Fields(line) {
			args = append(args, word)
		}
		if err := c.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func outage(t *testing.T, leave, back func(*testing.T, *redistest.Server)) {
	server := redistest.Start(t, "--appendfsync", "always")
	j := begin(t, map[string]string{"redis.url": "unix://" + server.Addr, "secret_key": someKey})
	if status := j.post("before", optedIn); status != "accepted" {
		t.Fatalf("status = %s", status)
	}
	j.settled("before")

	leave(t, server)
	ids := make([]string, 20)
	begun := time.Now()
	for i := range ids {
		ids[i] = fmt.Sprintf("during-%d", i)
		if status := j.post(ids[i], optedIn); status != "accepted" {
			t.Fatalf("with Redis away the status is %s", status)
		}
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("%d requests took %s while Redis was away", len(ids), took)
	}
	if code, body := look(t, j.base+"/readyz"); code != http.StatusOK {
		t.Errorf("with Redis away the collector's /readyz says %d %s", code, body)
	}
	code, body := look(t, "http://"+j.ops.Addr()+"/readyz")
	if code != http.StatusOK || !strings.Contains(body, "events are kept on this disk") {
		t.Errorf("with Redis away the operators' /readyz says %d %s", code, body)
	}
	if _, body := look(t, "http://"+j.ops.Addr()+"/metrics"); !strings.Contains(body, "pixel_spill_active 1") {
		t.Error("with Redis away the metrics do not say so")
	}

	back(t, server)
	if status := j.post("after", optedIn); status != "accepted" {
		t.Fatalf("status = %s", status)
	}
	for _, id := range append(ids, "after") {
		j.settled(id)
		for _, partner := range []string{"ttd", "amazon"} {
			if !j.delivered(partner, id) {
				t.Errorf("%s did not receive %s", partner, id)
			}
		}
	}
}

func TestWhileTheBucketIsAwayEventsComeInAndWait(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "nobody")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "nothing")
	j := begin(t, map[string]string{"archive.url": "s3://bucket/pixel", "archive.s3.endpoint": "http://127.0.0.1:1", "archive.s3.region": "eu-west-1"})
	if status := j.post("waits", optedIn); status != "accepted" {
		t.Fatalf("status = %s", status)
	}
	if code, body := look(t, j.base+"/readyz"); code != http.StatusOK {
		t.Errorf("with the bucket away the collector's /readyz says %d %s", code, body)
	}
	if code, body := look(t, "http://"+j.ops.Addr()+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"archive":"`) {
		t.Errorf("with the bucket away the operators' /readyz says %d %s", code, body)
	}
}
