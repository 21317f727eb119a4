// Package admin is the role that people see: the console and its JSON API, on
// one address. It promises that nothing is changed by somebody who may not,
// that every change is recorded, and that what events carry, however hostile,
// is shown as text and never becomes part of a page.
package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/singleflight"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/schema"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Options are what the console needs. All but Tracer, Metrics, Checks, Leaving and Now
// are required.
type Options struct {
	Config    config.Admin
	Collector config.Collector // for the addresses in the tag
	Settings  *settings.Store
	Box       *secret.Box     // seals the secrets of second factors
	Vault     *delivery.Vault // nil: tokens are this process's own
	State     state.Store
	Events    analytics.Reader
	Receipts  analytics.ReceiptReader
	Credits   analytics.CreditReader
	History   analytics.AuditHistory
	People    *identity.Graph
	Book      *consent.Book
	Erasures  *erasure.Book
	Finder    erasure.Finder
	Eraser    analytics.Eraser
	// Decider says in the preview of a replay what consent would stop.
	Decider *consent.Decider
	Queues  queue.Inspector
	// Push puts a dead letter that was edited back into its queue.
	Push     func(ctx context.Context, items ...queue.Item) error
	Ledger   *ledger.Keeper
	Adapters []partner.Adapter
	// Partners are where each partner is reached, by name.
	Partners map[string]config.Partner
	Log      *slog.Logger
	// Out is where the first start's link is printed.
	Out     io.Writer
	Checks  []health.Check
	Leaving *health.Leaving // nil: never
	// Build is the console's own: its version and commit.
	Build   string
	Tracer  trace.Tracer
	Metrics prometheus.Registerer
	Now     func() time.Time
}

// Admin is the console and its API.
type Admin struct {
	o           Options
	now         func() time.Time
	people      *people
	links       links
	limit       limiter
	hasher      hasher
	audit       audit
	sessions    *scs.SessionManager
	sso         *sso // nil: there is no identity provider
	signins     *collection[signedIn]
	proposals   *collection[keptProposal]
	partners    *roster
	backfills   *backfill.Jobs // the book of them; workers do them
	schemas     *schema.Checker
	forms       *forms
	expressions *routes.Expressions
	senders     map[string]*delivery.Sender // for test events
	views       *views
	risk        risk
	awaited     awaited
	lossKept    lossMemory
	reconciling singleflight.Group
	patience    time.Duration // how long a page waits for what may still be read into memory
	riskMetrics *riskMetrics  // nil: nobody counts
	crossing    *http.CrossOriginProtection
	logins      *prometheus.CounterVec
	watchers    prometheus.Gauge
	echo        *echo.Echo
	server      *httpserver.Server
}

// New returns a console that does not listen yet: Start does.
func New(o Options) (*Admin, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	near := reachOf(o.Settings)
	o.Events, o.Credits, o.Queues = confinedReader{o.Events, near}, confinedCredits{o.Credits, near}, confinedQueues{o.Queues, near}
	a := &Admin{
		o: o, now: o.Now,
		people:    newPeople(o.State, o.Now),
		links:     links{o.State, o.Now},
		limit:     limiter{o.State},
		hasher:    newHasher(),
		audit:     newAudit(o.State, o.History, o.Now, o.Log),
		sessions:  newSessions(o.State, o.Config.PublicURL),
		sso:       newSSO(o.Config.OIDC, o.Now),
		signins:   newCollection[signedIn](o.State, "signins"),
		proposals: newCollection[keptProposal](o.State, "proposals"),
		partners:  newRoster(o.Adapters),
		patience:  200 * time.Millisecond,
		crossing:  http.NewCrossOriginProtection(),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_admin_logins_total", Help: "Tries to sign in, by result.",
		}, []string{"result"}),
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pixel_admin_live_watchers", Help: "Open streams of live events.",
		}),
	}
	a.senders = map[string]*delivery.Sender{}
	for name, adapter := range a.partners.adapters {
		a.senders[name] = delivery.New(adapter, delivery.NewClient(1), o.Vault, o.Now)
	}
	var err error
	if a.schemas, err = schema.New(); err != nil {
		return nil, err
	}
	if a.forms, err = newForms(a.partners); err != nil {
		return nil, err
	}
	if a.expressions, err = routes.NewExpressions(); err != nil {
		return nil, err
	}
	a.backfills = backfill.NewJobs(o.State, func(name string) bool { return a.partners.adapters[name] != nil }, a.expressions, o.Now)
	if a.views, err = newViews(o.Now, a.handle); err != nil {
		return nil, err
	}
	if u := strings.TrimRight(o.Config.PublicURL, "/"); u != "" {
		if err := a.crossing.AddTrustedOrigin(u); err != nil {
			return nil, fmt.Errorf("admin.public_url must be an origin such as https://console.example.com: %w", err)
		}
	}
	if o.Metrics != nil {
		for _, c := range []prometheus.Collector{a.logins, a.watchers} {
			if err := o.Metrics.Register(c); err != nil {
				return nil, err
			}
		}
		if a.riskMetrics, err = newRiskMetrics(o.Metrics); err != nil {
			return nil, err
		}
	}
	a.echo = httpserver.New(httpserver.Options{
		Name: "admin", Log: o.Log, Checks: o.Checks, Leaving: o.Leaving, Tracer: o.Tracer, Metrics: o.Metrics,
	})
	a.echo.Use(a.shell)
	for _, r := range a.routes() {
		a.echo.Add(r.method, r.path, a.guard(r))
	}
	a.server = httpserver.NewServer(a.echo, "admin.addr", o.Config.Addr, o.Log)
	return a, nil
}

// Handler serves the console without a listener, for tests.
func (a *Admin) Handler() http.Handler { return a.echo }

// Start listens. When nobody could sign in, it prints a link to set the first
// password with.
func (a *Admin) Start(ctx context.Context) error {
	if err := a.server.Start(ctx); err != nil {
		return err
	}
	a.watchRisk()
	a.audit.watch()
	a.o.Log.Info("console is listening", "addr", a.Addr())
	if a.o.Config.Token != "" {
		return nil
	}
	there, err := a.people.any(ctx)
	if err != nil || there {
		return err
	}
	url, err := a.SetupURL(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.o.Out, "\nNobody can sign in to the console yet. Set the first password within 24 hours:\n\n  %s\n\n", url)
	return err
}

// Stop takes no more requests and waits for those that run.
func (a *Admin) Stop(ctx context.Context) error {
	a.riskMetrics.end()
	a.audit.history.end()
	for _, s := range a.senders {
		defer s.Close()
	}
	return a.server.Stop(ctx)
}

// Addr is the address that is listened on.
func (a *Admin) Addr() string { return a.server.Addr() }

// URL is where people reach the console, as far as we know.
func (a *Admin) URL() string {
	if u := strings.TrimRight(a.o.Config.PublicURL, "/"); u != "" {
		return u
	}
	host, port, err := net.SplitHostPort(a.Addr())
	if err != nil {
		return "http://" + a.Addr()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// SetupURL makes a link to set the first administrator's name and password
// with. It works once, and only while there is no user.
func (a *Admin) SetupURL(ctx context.Context) (string, error) {
	token, err := a.links.make(ctx, firstUser, "")
	if err != nil {
		return "", err
	}
	return a.URL() + "/setup?token=" + token, nil
}

// LoginLink makes an administrator called "demo" if there is no user at all,
// and returns a link that signs in as an administrator, once.
func (a *Admin) LoginLink(ctx context.Context) (string, error) {
	list, err := a.people.list(ctx)
	if err != nil {
		return "", err
	}
	id := ""
	for _, u := range list {
		if u.Role == Administrator {
			id = u.ID
			break
		}
	}
	if id == "" {
		u, err := a.people.add(ctx, user{Login: "demo", Role: Administrator})
		if err != nil {
			return "", err
		}
		id = u.ID
	}
	token, err := a.links.make(ctx, signIn, id)
	if err != nil {
		return "", err
	}
	return a.URL() + "/welcome?token=" + token, nil
}
