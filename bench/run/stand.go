package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/freeaddr"
)

// prepare builds and starts the sandbox and the product, and makes the pixel and its
// routes.
func (d *deliveries) prepare(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", d.pixel, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	var addr [4]string
	for i := range addr {
		var err error
		if addr[i], err = freeaddr.Pick(); err != nil {
			return err
		}
	}
	box, err := start("sandbox", nil, d.pixel, "sandbox", "--addr="+addr[0])
	if err != nil {
		return err
	}
	d.processes = append(d.processes, box)
	d.sandbox = "http://" + addr[0]
	if err := box.ready(ctx, d.sandbox+"/healthz"); err != nil {
		return err
	}
	d.collector, d.admin = "http://"+addr[1], "http://"+addr[2]
	args := []string{"serve", "--data_dir=" + filepath.Join(d.dir, "data"), "--log.level=warn", "--collector.addr=" + addr[1], "--admin.addr=" + addr[2], "--ops.addr=" + addr[3]}
	var shown struct {
		Addresses map[string]struct {
			Endpoint string `json:"endpoint"`
			TokenURL string `json:"token_url"`
		} `json:"addresses"`
	}
	if err := d.get(ctx, d.sandbox+"/control", &shown); err != nil {
		return err
	}
	for _, name := range to {
		args = append(args, "--partners."+name+".endpoint="+d.sandbox+shown.Addresses[name].Endpoint)
		if u := shown.Addresses[name].TokenURL; u != "" {
			args = append(args, "--partners."+name+".token_url="+d.sandbox+u)
		}
	}
	key := make([]byte, 32)
	rand.Read(key)
	d.paid, err = start("pixel", []string{"PIXEL_ADMIN_TOKEN=" + token, "PIXEL_SECRET_KEY=" + base64.StdEncoding.EncodeToString(key)}, d.pixel, args...)
	if err != nil {
		return err
	}
	d.processes = append(d.processes, d.paid)
	if err := d.paid.ready(ctx, "http://"+addr[3]+"/readyz"); err != nil {
		return err
	}
	return errors.Join(
		d.api(ctx, "PATCH", "/partners/amazon", map[string]any{"credentials": map[string]string{"client_id": "amzn1.application-oa2-client.example", "client_secret": "client-secret", "refresh_token": "Atzr|example-token"}}),
		d.api(ctx, "POST", "/pixels", map[string]any{"id": "px_bench", "name": "Bench", "enabled": true, "consent_mode": "implied", "country": "US"}),
		d.api(ctx, "PUT", "/pixels/px_bench/routes", []map[string]any{
			{"partner": "amazon", "event": "*", "enabled": true, "params": map[string]any{"account_id": "123456789", "region": "NA"}},
			{"partner": "ttd", "event": "*", "enabled": true, "params": map[string]any{"merchant_id": "merch1234", "tracker_id": "abc123x"}},
		}),
	)
}

func (d *deliveries) api(ctx context.Context, method, path string, body any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return call(ctx, method, d.admin+"/api/v1"+path, raw, nil)
}

func (d *deliveries) get(ctx context.Context, address string, into any) error {
	return call(ctx, "GET", address, nil, into)
}

// events sends so many purchases in one request, and returns their ids.
func (d *deliveries) events(ctx context.Context, n int) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `{"pixel_id":"px_bench","identity":{"anonymous_id":"v-%d","email_sha256":"6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd","partner_ids":{"tdid":"11111111-2222-4333-8444-%012d"}},"context":{"locale":"en-US","page":{"url":"https://shop.example.com/thanks"}},"events":[`, d.made, d.made)
	ids := make([]string, n)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for i := range n {
		d.made++
		ids[i] = fmt.Sprintf("bench-%d-%d", started, d.made)
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%q,"name":"purchase","time":%q,"properties":{"order_id":"o-%d","value":99.5,"currency":"USD","items":[{"item_id":"SKU1","item_name":"Shoe","price":99.5,"quantity":1}]}}`, ids[i], now, d.made)
	}
	b.WriteString("]}")
	return ids, call(ctx, "POST", d.collector+"/collect", []byte(b.String()), nil)
}

// depth is how many deliveries wait, by partner, and ingest for what is not yet
// routed.
func (d *deliveries) depth(ctx context.Context) (waiting map[string]int, err error) {
	var queues struct {
		Items []struct {
			Queue string `json:"queue"`
			Depth int    `json:"depth"`
		} `json:"items"`
	}
	if err := d.get(ctx, d.admin+"/api/v1/queues", &queues); err != nil {
		return nil, err
	}
	waiting = map[string]int{}
	for _, q := range queues.Items {
		kind, name, _ := strings.Cut(q.Queue, ":")
		if kind == "s2s" {
			waiting[name] = q.Depth
		} else if kind == "ingest" {
			waiting["ingest"] += q.Depth
		} else if kind == "dlq" {
			waiting["dead"] += q.Depth
		}
	}
	return waiting, nil
}

func (d *deliveries) until(ctx context.Context, every time.Duration, ok func(map[string]int) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		w, err := d.depth(ctx)
		if err != nil {
			return err
		}
		if ok(w) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the queues do not get there: %v", w)
		case <-time.After(every):
		}
	}
}

func (d *deliveries) mode(ctx context.Context, mode string) error {
	var all error
	for _, name := range to {
		all = errors.Join(all, d.api(ctx, "PATCH", "/partners/"+name, map[string]string{"mode": mode}))
	}
	return all
}
