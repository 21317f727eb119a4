// Package config holds every setting: one struct a section, its defaults, and
// what makes a value good. Load reads them from config.yaml, the environment and
// flags, in that order, and reports every problem at once with its key.
package config

import (
	"time"
)

// Config is the whole configuration. Only modules/app sees it whole; a module
// takes its own section.
type Config struct {
	Role            string        `koanf:"role"`
	DataDir         string        `koanf:"data_dir"`
	ShutdownTimeout time.Duration `koanf:"shutdown_timeout"`
	SecretKey       string        `koanf:"secret_key" secret:"true"`
	// DrainDelay is the part of ShutdownTimeout in which the process serves on, and says
	// that it is going.
	DrainDelay time.Duration `koanf:"drain_delay"`
	// SecretKeyOld are keys that SecretKey replaced, with commas between.
	SecretKeyOld string `koanf:"secret_key_old" secret:"true"`

	Log        Log                 `koanf:"log"`
	Collector  Collector           `koanf:"collector"`
	Worker     Worker              `koanf:"worker"`
	Identity   Identity            `koanf:"identity"`
	Dispatcher Dispatcher          `koanf:"dispatcher"`
	Admin      Admin               `koanf:"admin"`
	Ops        Ops                 `koanf:"ops"`
	Queue      Queue               `koanf:"queue"`
	Redis      Redis               `koanf:"redis"`
	Spill      Spill               `koanf:"spill"`
	ClickHouse ClickHouse          `koanf:"clickhouse"`
	Archive    Archive             `koanf:"archive"`
	Geo        Geo                 `koanf:"geo"`
	Currency   Currency            `koanf:"currency"`
	Consent    Consent             `koanf:"consent"`
	Partners   map[string]*Partner `koanf:"partners"`
	OTel       OTel                `koanf:"otel"`
}

// Log is how the process logs.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // json, text
}

// Collector is the public side.
type Collector struct {
	Addr string `koanf:"addr"`
	// PublicURL is where browsers reach it, for the snippet; empty: as asked.
	PublicURL string `koanf:"public_url"`
	// MaxBody bounds a request's body after decompression, in bytes.
	MaxBody int64 `koanf:"max_body"`
	// MaxEvents bounds the events of a request.
	MaxEvents int `koanf:"max_events"`
	// TrustedProxies are networks whose X-Forwarded-For is believed.
	TrustedProxies []string `koanf:"trusted_proxies"`
	// Priorities are event names that travel in another queue than "standard".
	Priorities Priorities `koanf:"priorities"`
	// MaxWaiting bounds the bytes that wait for the queue before 503.
	MaxWaiting int64 `koanf:"max_waiting"`
	// EdgeKeys are shared with edge workers, whose word on a visitor's address and
	// place is believed under a signature: "id:base64" with commas between.
	EdgeKeys string `koanf:"edge_keys" secret:"true"`
	// EdgeWindow is how old such a signature may be.
	EdgeWindow time.Duration `koanf:"edge_window"`
	// Overload is from where on events are turned away with 503.
	Overload Overload `koanf:"overload"`
	// Rate bounds what one pixel and one address may send.
	Rate RateLimit `koanf:"rate"`
}

// Overload are limits of what waits behind the collector; 0: no limit. Low
// priority is turned away at four fifths of one, standard at nine tenths.
type Overload struct {
	Depth  int           `koanf:"depth"`  // events that wait to be processed
	Age    time.Duration `koanf:"age"`    // of the oldest of them
	Memory float64       `koanf:"memory"` // the share used of the room that their store has
	// Refusals is how many validation dead letters there may be before what is refused
	// is only counted.
	Refusals int `koanf:"refusals"`
}

// RateLimit is what may come a second, over all replicas; 0: no limit.
type RateLimit struct {
	Pixel   float64       `koanf:"pixel"`   // events
	Address float64       `koanf:"address"` // requests
	Burst   time.Duration `koanf:"burst"`   // how long's worth may come at once
	Free    []string      `koanf:"free"`    // networks whose addresses have no limit
}

// Priorities lists the event names of the high and low queues.
type Priorities struct {
	High []string `koanf:"high"`
	Low  []string `koanf:"low"`
}

// Worker turns accepted events into stored ones and deliveries.
type Worker struct {
	Concurrency int           `koanf:"concurrency"` // batches at once
	Batch       int           `koanf:"batch"`       // events in a batch
	DedupeTTL   time.Duration `koanf:"dedupe_ttl"`  // how long an event id is remembered
	OrderTTL    time.Duration `koanf:"order_ttl"`   // how long the id of a purchase is
}

// Dispatcher sends to partners.
type Dispatcher struct {
	Concurrency int     `koanf:"concurrency"` // requests at once a partner
	Breaker     Breaker `koanf:"breaker"`
	Retry       Retry   `koanf:"retry"`
	// HoldMax bounds what waits for a partner on hold, and what waits by its
	// routes that are; 0: nothing does.
	HoldMax int `koanf:"hold_max"`
}

// Breaker is when a partner's circuit opens, and for how long.
type Breaker struct {
	Failures int           `koanf:"failures"` // of the last Window requests
	Window   int           `koanf:"window"`
	Delay    time.Duration `koanf:"delay"` // until a trial request
}

// Retry is the wait between attempts: Min doubled each time up to Max, with
// jitter, until Attempts or the partner's age limit.
type Retry struct {
	Min      time.Duration `koanf:"min"`
	Max      time.Duration `koanf:"max"`
	Attempts int           `koanf:"attempts"`
}

// Admin is the console and its API.
type Admin struct {
	Addr  string `koanf:"addr"`
	Token string `koanf:"token" secret:"true"`
	// PublicURL is where people reach the console, for links it prints.
	PublicURL string `koanf:"public_url"`
	// SecondPerson has changes of any pixel's consent rules wait for another admin.
	SecondPerson bool `koanf:"second_person"`
	// HoldNewFields is how a new pixel begins: see settings.Fields.
	HoldNewFields bool `koanf:"hold_new_fields"`
	OIDC          OIDC `koanf:"oidc"`
}

// Ops serves health, metrics and pprof.
type Ops struct {
	Addr string `koanf:"addr"`
}

// Queue is what all queues have in common.
type Queue struct {
	Lease         time.Duration `koanf:"lease"`
	MaxDeliveries int           `koanf:"max_deliveries"`
	// KeepBooks is how long an hour's counts are kept.
	KeepBooks time.Duration `koanf:"keep_books"`
	// MaxBytes is how large the embedded store's file may grow; 0: no bound.
	MaxBytes int64 `koanf:"max_bytes"`
}

// Archive is where the raw copy goes.
type Archive struct {
	URL string `koanf:"url"`
	// FileEvery is how long what is archived may wait to be filed as Parquet.
	FileEvery time.Duration `koanf:"file_every"`
	// Log keeps the sync log, matches and consent receipts too, where ClickHouse has them.
	Log bool      `koanf:"log"`
	S3  ArchiveS3 `koanf:"s3"`
}

// ArchiveS3 is for s3:// addresses.
type ArchiveS3 struct {
	Endpoint  string `koanf:"endpoint"`
	Region    string `koanf:"region"`
	PathStyle bool   `koanf:"path_style"`
	// SSE is how the bucket encrypts: empty (as it is set up), AES256 or aws:kms.
	SSE    string `koanf:"sse"`
	KMSKey string `koanf:"kms_key"`
	// Timeout bounds each request; Attempts is how often one is made.
	Timeout  time.Duration `koanf:"timeout"`
	Attempts int           `koanf:"attempts"`
}

// Geo are the MMDB files and the lists of data centres' networks, each a path or several
// with commas between.
type Geo struct {
	CityDB      string `koanf:"city_db"`
	ASNDB       string `koanf:"asn_db"`
	Datacenters string `koanf:"datacenters"`
}

// Consent is who we are in the IAB's list.
type Consent struct {
	VendorID int  `koanf:"vendor_id"`
	AllowLI  bool `koanf:"allow_li"`
}

// Partner points an adapter somewhere else than the partner's own address.
type Partner struct {
	Endpoint string `koanf:"endpoint" yaml:"endpoint"`
	TokenURL string `koanf:"token_url" yaml:"token_url"`
	// AuthorizeURL is where an account is connected in the console.
	AuthorizeURL string `koanf:"authorize_url" yaml:"authorize_url"`
}

// OTel is where traces go.
type OTel struct {
	Endpoint string `koanf:"endpoint"`
	// Sample is the share of requests traced, 0 to 1.
	Sample float64 `koanf:"sample"`
	// Slow is from when on a request is traced whatever Sample says, as is one that
	// fails; 0: neither is.
	Slow time.Duration `koanf:"slow"`
	// Tag is the share of the tag's requests whose trace begins in the browser.
	Tag float64 `koanf:"tag"`
	// Outside is how many traces a second callers may begin.
	Outside float64 `koanf:"outside"`
}

// Default is the configuration with nothing set: the whole product on the
// embedded store.
func Default() Config {
	return Config{
		Role:            "all",
		DataDir:         "./data",
		ShutdownTimeout: 25 * time.Second,
		Log:             Log{Level: "info", Format: "text"},
		Collector: Collector{
			Addr:       ":8080",
			MaxBody:    1 << 20,
			MaxEvents:  500,
			MaxWaiting: 64 << 20,
			EdgeWindow: 5 * time.Minute,
			Overload:   Overload{Depth: 2_000_000, Age: 6 * time.Hour, Memory: 0.9, Refusals: 100_000},
			Rate:       RateLimit{Burst: 10 * time.Second},
			Priorities: Priorities{
				High: []string{"purchase", "refund", "generate_lead", "sign_up", "subscribe"},
				Low:  []string{"scroll", "heartbeat", "user_engagement", "video_progress"},
			},
		},
		Worker:   Worker{Concurrency: 4, Batch: 512, DedupeTTL: 7 * 24 * time.Hour, OrderTTL: 30 * 24 * time.Hour},
		Identity: Identity{MaxCustomers: 3, MaxContacts: 5, MaxBrowsers: 100, MaxProfile: 200},
		Dispatcher: Dispatcher{
			Concurrency: 16,
			Breaker:     Breaker{Failures: 10, Window: 20, Delay: 30 * time.Second},
			Retry:       Retry{Min: 5 * time.Second, Max: time.Hour, Attempts: 200},
			HoldMax:     1_000_000,
		},
		Admin: Admin{Addr: ":8081", OIDC: OIDC{
			Scopes: []string{"openid", "email", "profile"}, LoginClaim: "email", RoleClaim: "groups", Label: "Sign in with single sign-on",
		}},
		Ops:   Ops{Addr: ":9464"},
		Queue: Queue{Lease: time.Minute, MaxDeliveries: 8, KeepBooks: 40 * 24 * time.Hour, MaxBytes: 8 << 30},
		Redis: Redis{Mode: "single", Timeout: 2 * time.Second},
		Spill: Spill{MaxBytes: 1 << 30, Timeout: time.Second},
		ClickHouse: ClickHouse{
			BatchRows: 65_536, Linger: 200 * time.Millisecond, WriteTimeout: 15 * time.Second,
			QueryTimeout: 20 * time.Second, QueryMemory: 4 << 30,
		},
		Archive:  Archive{URL: "file://{data_dir}/archive", FileEvery: 5 * time.Minute, Log: true, S3: ArchiveS3{Timeout: 10 * time.Second, Attempts: 4}},
		Consent:  Consent{VendorID: 101},
		Partners: map[string]*Partner{"dv360": {}, "ttd": {}, "yahoo": {}, "amazon": {}},
		OTel:     OTel{Sample: 1, Slow: time.Second, Tag: 0.01, Outside: 20},
	}
}
