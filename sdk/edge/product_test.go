package edge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/miq/pixel/modules/freeaddr"
)

const token = "test-token-of-enough-characters"

// product is the real collector, with its console.
type product struct {
	t     *testing.T
	admin string
}

func start(t *testing.T, w *world) *product {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "pixel")
	build := exec.Command("go", "build", "-o", bin, "github.com/miq/pixel")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var addr [3]string
	for i := range addr {
		var err error
		if addr[i], err = freeaddr.Pick(); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, "serve", "--data_dir="+t.TempDir(), "--collector.addr="+addr[0], "--admin.addr="+addr[1], "--ops.addr="+addr[2])
	cmd.Env = append(os.Environ(), "PIXEL_ADMIN_TOKEN="+token, "PIXEL_COLLECTOR_EDGE_KEYS=k1:"+key)
	cmd.Dir = t.TempDir() // no config.yaml there
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the collector said:\n%s", &out)
		}
	})
	collector := &url.URL{Scheme: "http", Host: addr[0]}
	w.set(httputil.NewSingleHostReverseProxy(collector).ServeHTTP)
	return &product{t, "http://" + addr[1]}
}

func (p *product) api(method, path, body string, into any) error {
	r, err := http.NewRequest(method, p.admin+"/api/v1"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		return fmt.Errorf("%s: %s %w", res.Status, b, err)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

func TestTheRealCollectorBelievesTheWorker(t *testing.T) {
	w := newWorld(t)
	x := run(t, w)
	p := start(t, w)
	x.eventually("the pixel is made", func() error {
		return p.api("POST", "/pixels", `{"id":"px_1","name":"Shop","enabled":true,"consent_mode":"implied"}`, nil)
	})
	x.eventually("the settings come through", func() error {
		res := x.send("GET", "/config/px_1.json", "")
		if body := text(t, res); res.StatusCode != 200 {
			return errors.New(res.Status + body)
		}
		return nil
	})
	if res := x.send("GET", "/sdk.js", ""); res.StatusCode != 200 || len(text(t, res)) < 1000 {
		t.Errorf("the tag: %s", res.Status)
	}
	body := `{"pixel_id":"px_1","consent":{"gdpr_applies":false,"state":"full"},"identity":{"anonymous_id":"a1"},"events":[{"id":"through","name":"purchase"}]}`
	res := x.send("POST", "/collect", body, "Content-Type", "text/plain", "Origin", "https://www.shop.example")
	if res.StatusCode != 202 {
		t.Fatalf("%s %s", res.Status, text(t, res))
	}
	if c := res.Header.Get("Set-Cookie"); c == "" {
		t.Error("no visitor id was set")
	} else if bytes.Contains([]byte(c), []byte("Domain=")) {
		t.Errorf("the cookie is for more than the page's own host: %s", c)
	}
	x.eventually("the event has the visitor's place", func() error {
		var got struct {
			Event struct {
				Context struct {
					Place struct{ Country, Region, City string } `json:"place"`
				} `json:"context"`
			} `json:"event"`
		}
		if err := p.api("GET", "/events/through?pixel_id=px_1", "", &got); err != nil {
			return err
		}
		if place := got.Event.Context.Place; place.Country != "US" || place.Region != "CA" || place.City != "San Francisco" {
			return fmt.Errorf("the place is %+v", place)
		}
		return nil
	})
}
