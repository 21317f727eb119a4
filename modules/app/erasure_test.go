package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/s3test"
	"github.com/miq/pixel/modules/settings"
)

const population = 1000

// someone is one of the population, known by an id of each kind.
type someone struct{ visitor, user, email, phone, order string }

func person(i int) someone {
	return someone{
		visitor: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "visitor %d", i)).String(), user: fmt.Sprintf("customer-%06d", i),
		email: fmt.Sprintf("person%d@example.com", i), phone: fmt.Sprintf("+4420794%05d", i), order: fmt.Sprintf("order-no-%06d", i),
	}
}

// marks are the forms in which a person's identifiers could lie on a disk.
func (s someone) marks() map[string][]byte {
	id := uuid.MustParse(s.visitor)
	m := map[string][]byte{"visitor": []byte(s.visitor), "visitor, packed": id[:], "user": []byte(s.user), "order": []byte(s.order), "email": []byte(s.email), "phone": []byte(s.phone)}
	for name, v := range map[string]string{"email": s.email, "phone": s.phone, "phone's digits": s.phone[1:]} {
		sum := sha256.Sum256([]byte(v))
		m[name+"'s digest"], m[name+"'s digest, packed"] = []byte(hex.EncodeToString(sum[:])), sum[:]
	}
	return m
}

// TestAnErasedPersonIsNowhereLeft seeds a thousand visitors into every store, the
// queues of what is held and dead among them, erases ten by different identifiers, and
// looks for them in every byte on the disk and in every answer.
func TestAnErasedPersonIsNowhereLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Run("embedded", func(t *testing.T) {
		dir := t.TempDir()
		eraseTen(t, map[string]string{"data_dir": dir}, map[string]string{"ours": dir})
	})
	t.Run("redis", func(t *testing.T) {
		dir, redis := t.TempDir(), redistest.Start(t)
		eraseTen(t, map[string]string{"data_dir": dir, "redis.url": "unix://" + redis.Addr, "secret_key": someKey},
			map[string]string{"ours": dir, "redis": filepath.Dir(redis.Addr)})
	})
	t.Run("redis, ClickHouse and S3", func(t *testing.T) {
		s3 := s3test.Start(t, "")
		s3.Bucket(t, "erasures")
		dir, at, redis := t.TempDir(), t.TempDir(), redistest.Start(t)
		house := clickhousetest.Start(t, at)
		dsn := migrated(t, house)
		for _, table := range house.Query(t, "SELECT name FROM system.tables WHERE database = 'px' AND create_table_query LIKE '%old_parts_lifetime%'") {
			// A minute in earnest, which the erasure waits for.
			house.Exec(t, "ALTER TABLE px."+table+" MODIFY SETTING old_parts_lifetime = 1")
		}
		eraseTen(t, map[string]string{"data_dir": dir, "redis.url": "unix://" + redis.Addr, "secret_key": someKey, "clickhouse.dsn": dsn,
			"archive.url": "s3://erasures/kept", "archive.s3.endpoint": s3.Endpoint, "archive.s3.path_style": "true"},
			map[string]string{"ours": dir, "redis": filepath.Dir(redis.Addr), "clickhouse": at, "s3": s3.Dir})
	})
}

// eraseTen erases ten of a thousand. places are the folders of all that keeps something.
func eraseTen(t *testing.T, flags, places map[string]string) {
	var book *erasure.Book
	j := begin(t, flags, fx.Populate(&book))
	hold := j.settings.Partner("amazon")
	hold.Mode = settings.Hold
	if _, err := j.settings.SavePartner(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	pixel, _ := j.settings.Pixel("px_1")
	pixel.Routes[0].Params = jsontext.Value(`{"adv":"adv1","tracker_id":"undefined1"}`) // which the sandbox refuses
	if _, err := j.settings.SavePixel(t.Context(), pixel); err != nil {
		t.Fatal(err)
	}

	for i := range population {
		j.visit(person(i))
	}
	count := func() int {
		n := 0
		f := analytics.EventFilter{Limit: analytics.MaxLimit}
		for {
			page, err := j.events.Events(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Events)
			if f.Cursor = page.Next; f.Cursor == "" {
				return n
			}
		}
	}
	waitFor(t, "everything is stored", func() bool { return count() == 2*population })
	waiting := func() (held, dead int) {
		stats, err := j.queues.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stats {
			switch s.Queue {
			case queue.Partner("amazon"):
				held = s.Ready + s.Delayed + s.InFlight
			case queue.PartnerDead("ttd"):
				dead = s.Ready
			}
		}
		return held, dead
	}
	var stats []queue.Stats
	defer func() {
		if t.Failed() {
			t.Logf("the queues: %+v", stats)
		}
	}()
	waitFor(t, "everything is held or dead", func() bool {
		stats, _ = j.queues.Stats(t.Context())
		h, d := waiting()
		return h == population && d == population
	})

	var ids []string
	for i := range 10 {
		p := person(i * 97)
		id := []erasure.Identifier{
			{Kind: "visitor_id", Value: p.visitor}, {Kind: "email", Value: strings.ToUpper(p.email)}, {Kind: "user_id", Value: p.user},
			{Kind: "phone", Value: p.phone}, {Kind: "order_id", Value: p.order},
		}[i%5]
		r, err := book.Ask(t.Context(), "", "a test", "", id)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	var all []erasure.Request
	waitFor(t, "the erasures are done", func() bool {
		var err error
		if all, err = book.List(t.Context()); err != nil {
			t.Log(err) // a machine that is busy may be slow to answer
			return false
		}
		for _, r := range all {
			if r.State != erasure.Done {
				return false
			}
		}
		return len(all) == len(ids)
	})
	for _, r := range all {
		c := r.Certificate
		if c.Erased["analytics"]["events"] != 2 || c.Erased["archive"]["events"] != 2 || c.Erased["queues"]["events"] != 1 || c.Found.Visitors != 1 || c.Interrupted != 0 {
			t.Errorf("the certificate of %s says %+v", r.Named[0].Kind, c)
		}
		if n := c.Erased["archive"]["log_events"]; (n > 0) != (flags["clickhouse.dsn"] != "") {
			t.Errorf("lines of %d events were deleted from the archive's log", n)
		}
		for store, n := range c.Left {
			if n != 0 {
				t.Errorf("%d left in %s", n, store)
			}
		}
	}
	for _, err := range book.Chain(all) {
		t.Error(err)
	}

	// The others.
	if n := count(); n != 2*population-20 {
		t.Errorf("%d events are stored", n)
	}
	if h, d := waiting(); h != population-10 || d != population-10 {
		t.Errorf("%d held, %d dead", h, d)
	}
	// Late events of whom they name are kept out; who comes back may.
	gone := person(0)
	gone.order += "-again" // an order is known by its id for longer
	j.visit(gone)
	waitFor(t, "who comes back is stored", func() bool { return count() == 2*population-18 })

	archived := map[string]int{}
	for rec, err := range j.archive.Read(t.Context(), archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		archived[rec.Event.Subject.AnonymousID]++
	}
	for i := 1; i < 10; i++ {
		p := person(i * 97)
		if archived[p.visitor] > 0 {
			t.Errorf("the archive holds %d events of an erased visitor", archived[p.visitor])
		}
	}
	if len(archived) != population-9 {
		t.Errorf("the archive holds %d visitors", len(archived))
	}

	// A Redis writes its log anew in the background, and a ClickHouse merges what was
	// just written.
	var files map[string][]byte
	waitFor(t, "nothing is found of whom was erased, or Redis does not write its log anew", func() bool {
		files = map[string][]byte{}
		for place, dir := range places {
			for name, b := range dirBytes(t, dir) {
				files[place+"/"+name] = b
				if place == "clickhouse" {
					files[place+"/"+name+", unpacked"] = unpacked(b)
				}
			}
		}
		return !holds(files, "redis/")
	})
	for name, b := range files {
		for i := 1; i < 10; i++ {
			for what, mark := range person(i * 97).marks() {
				if at := bytes.Index(b, mark); at >= 0 {
					t.Errorf("%s still holds the %s of an erased person, at byte %d of %d: %q", name, what, at, len(b), b[max(0, at-100):min(len(b), at+100)])
				}
			}
		}
	}
	// That the others are found says that this looks at the right bytes.
	for place := range places {
		if place == "s3" || place == "ours" && len(places) == 4 {
			continue // the archive is packed, and was read; and all else is elsewhere
		}
		seen := 0
		for name, b := range files {
			for _, mark := range person(5).marks() {
				if strings.HasPrefix(name, place) && bytes.Contains(b, mark) {
					seen++
				}
			}
		}
		if seen == 0 {
			t.Errorf("nobody is found in the files of %s at all", place)
		}
	}
}

// holds reports whether an erased person is in any file of a place.
func holds(files map[string][]byte, place string) bool {
	for name, b := range files {
		if !strings.HasPrefix(name, place) {
			continue
		}
		for i := 1; i < 10; i++ {
			for _, mark := range person(i * 97).marks() {
				if bytes.Contains(b, mark) {
					return true
				}
			}
		}
	}
	return false
}

// unpacked is what the compressed blocks of one of ClickHouse's files hold: each has a
// checksum of 16 bytes, its method, and its size packed, with these nine, and unpacked.
func unpacked(file []byte) (out []byte) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		panic(err)
	}
	defer d.Close()
	for len(file) >= 25 {
		method, packed, size := file[16], int(binary.LittleEndian.Uint32(file[17:])), int(binary.LittleEndian.Uint32(file[21:]))
		if packed < 9 || packed > len(file)-16 || size > 64<<20 {
			return out
		}
		data := file[25 : 16+packed]
		file = file[16+packed:]
		switch method {
		case 0x02: // as it is
			out = append(out, data...)
		case 0x82:
			block := make([]byte, size)
			if n, err := lz4.UncompressBlock(data, block); err == nil {
				out = append(out, block[:n]...)
			}
		case 0x90:
			if block, err := d.DecodeAll(data, nil); err == nil {
				out = append(out, block...)
			}
		}
	}
	return out
}

// visit sends a page view and a purchase.
func (j *journey) visit(p someone) {
	j.t.Helper()
	now := time.Now().UTC().Format(time.RFC3339Nano)
	body := fmt.Sprintf(`{"pixel_id":"px_1","sent_at":%[1]q,"consent":%[2]s,"identity":{"anonymous_id":%[3]q,"user_id":%[4]q,"email":%[5]q,"phone":%[6]q},
		"context":{"page":{"url":"https://shop.example.com/thanks?utm_source=news&utm_medium=email&utm_campaign=spring"}},
		"events":[{"name":"page_view","time":%[1]q},{"name":"purchase","time":%[1]q,"properties":{"order_id":%[7]q,"value":10,"currency":"USD"}}]}`,
		now, optedIn, p.visitor, p.user, p.email, p.phone, p.order)
	resp, err := http.Post(j.base+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		j.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		j.t.Fatalf("/collect answers %d", resp.StatusCode)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to this: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.FailNow()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// dirBytes are all files under a folder.
func dirBytes(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		name, _ := filepath.Rel(dir, path)
		out[name] = b
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}
