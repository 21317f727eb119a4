package cli

import (
	"context"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/admin"
	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/demo"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/simulate"
	"github.com/miq/pixel/sdk"
)

// demoPixel is the id of the pixel that the shop carries.
const demoPixel = "px_demo"

func demoCommand() *cobra.Command {
	var shopAddr, sandboxAddr string
	var traffic float64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Everything at once on the embedded store, with a shop that uses the tag and imitated partners",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The demo keeps its data beside the real one, never in it, and is
			// reached from this machine only; explicit flags win over both.
			dir := filepath.Join(config.Default().DataDir, "demo")
			partners, err := listen("--sandbox", sandboxAddr, sandbox.New(app.Adapters()))
			if err != nil {
				return err
			}
			defer partners.Close()
			override := map[string]string{
				"role": "all", "data_dir": dir, "log.level": "warn",
				"collector.addr": "127.0.0.1:8080", "admin.addr": "127.0.0.1:8081", "ops.addr": "127.0.0.1:9464",
			}
			for name, e := range sandbox.Endpoints(partners.URL, app.Adapters()) {
				override["partners."+name+".endpoint"] = e.Endpoint
				override["partners."+name+".token_url"] = e.TokenURL
				override["partners."+name+".authorize_url"] = e.AuthorizeURL
			}
			c, err := load(cmd, override)
			if err != nil {
				return err
			}
			if c.Collector.PublicURL == "" {
				// The page and the collector on one host name, so that the cookie is first-party.
				c.Collector.PublicURL = "http://" + browsable(c.Collector.Addr)
			}
			if c.Admin.PublicURL == "" {
				c.Admin.PublicURL = "http://" + browsable(c.Admin.Addr)
			}
			d := demonstration{out: cmd.OutOrStdout(), shopAddr: shopAddr, sandbox: partners.URL, ops: c.Ops.Addr, origin: c.Collector.PublicURL, console: c.Admin.PublicURL, collector: "http://" + browsable(c.Collector.Addr), traffic: traffic}
			defer d.close()
			// The demo signs its visitor in itself, so nobody needs to set a password.
			return run(cmd.Context(), c, io.Discard, cmd.ErrOrStderr(), d.ready, fx.Populate(&d.settings, &d.admin, &d.log))
		},
	}
	cmd.Flags().StringVar(&shopAddr, "shop", "127.0.0.1:8083", "`host:port` of the demo shop")
	cmd.Flags().StringVar(&sandboxAddr, "sandbox", "127.0.0.1:8082", "`host:port` of the imitated partners")
	cmd.Flags().Float64Var(&traffic, "traffic", 1, "how many `events` a second simulated visitors of two other shops send; 0: there are none")
	return cmd
}

type demonstration struct {
	out                    io.Writer
	shopAddr, sandbox, ops string
	origin, console        string // addresses of the collector and the console
	shop                   *site
	collector              string  // where the simulated visitors go
	traffic                float64 // events of theirs a second
	visitors               sync.WaitGroup
	leave                  context.CancelFunc // ends their visits

	settings *settings.Store
	admin    *admin.Admin
	log      *slog.Logger
}

// ready makes the demo's pixel, opens the shop and says where everything is.
func (d *demonstration) ready(ctx context.Context) error {
	if err := d.seed(ctx); err != nil {
		return fmt.Errorf("prepare the demo: %w", err)
	}
	origin, console := d.origin, d.console
	shop := demo.Shop{Snippet: template.HTML(sdk.Snippet(origin, demoPixel)), Console: console}
	var err error
	if d.shop, err = listen("--shop", d.shopAddr, shop.Handler(d.log)); err != nil {
		return err
	}
	login, err := d.admin.LoginLink(ctx)
	if err != nil {
		return fmt.Errorf("make a link to the console: %w", err)
	}
	fmt.Fprint(d.out, "\n  The demo is running. Open the shop, accept its banner, and buy something.\n\n")
	table(d.out, [][2]string{
		{"Shop", d.shop.URL},
		{"Console", login},
		{"Tour", console + "/tour  (two minutes, once you are signed in)"},
		{"Partners", d.sandbox + "  (what the imitated partners received)"},
		{"Collector", origin + "  (POST /collect; the tag is at /sdk.js)"},
		{"Metrics", "http://" + browsable(d.ops) + "/metrics"},
	})
	if d.traffic > 0 {
		d.simulate(ctx)
		fmt.Fprintf(d.out, "\n  Simulated visitors of two more shops send about %g events a second; --traffic 0 leaves them out.\n", d.traffic)
	}
	fmt.Fprint(d.out, "\n  The console's link signs you in once. Ctrl-C ends the demo; its data stays for the next.\n\n")
	return nil
}

// simulate lets visitors come to two shops that nobody can visit, so that live events,
// reports and partners have something to show.
func (d *demonstration) simulate(ctx context.Context) {
	ctx, leave := context.WithCancel(ctx)
	d.leave = leave
	d.visitors.Go(func() {
		_, err := simulate.Send(ctx, simulate.Options{
			Seed: 1, Collectors: []string{d.collector}, Rate: d.traffic, Length: 1000 * time.Hour, Shops: simulate.NewShops(2), Visitors: 300, Robots: 0.04,
			Patience: time.Second,
		})
		if err != nil {
			d.log.Error("nobody visits the simulated shops", "error", err)
		}
	})
}

func (d *demonstration) close() {
	if d.leave != nil {
		d.leave()
		d.visitors.Wait()
	}
	if d.shop != nil {
		_ = d.shop.Close()
	}
}

// seed makes the pixel with its routes and connects the partners, unless an
// earlier demo did.
func (d *demonstration) seed(ctx context.Context) error {
	if _, ok := d.settings.Pixel(demoPixel); !ok {
		_, err := d.settings.SavePixel(ctx, settings.Pixel{
			// Whoever shows the demo with an automated browser wants to see it at the partners.
			Processing: settings.Processing{Automated: settings.Send},
			ID:         demoPixel, Name: "Demo shop", Advertiser: "Fell & Fleet", Enabled: true, ConsentMode: settings.Banner, Country: "US",
			Banner: settings.BannerOptions{HideReopen: true}, // the shop has a link of its own
			Routes: simulate.Routes(),
		})
		if err != nil {
			return err
		}
	}
	for _, shop := range simulate.NewShops(2) {
		if _, ok := d.settings.Pixel(shop.ID); ok || d.traffic <= 0 {
			continue
		}
		p := shop.Pixel()
		p.Routes = simulate.Routes()
		if _, err := d.settings.SavePixel(ctx, p); err != nil {
			return err
		}
	}
	for _, a := range app.Adapters() {
		if err := d.connect(ctx, a.Spec()); err != nil {
			return err
		}
	}
	return nil
}

// connect gives a partner credentials, of which its imitation wants only that
// there are some.
func (d *demonstration) connect(ctx context.Context, spec partner.Spec) error {
	p := d.settings.Partner(spec.Name)
	if len(spec.Credentials) == 0 || len(p.Sealed) > 0 {
		return nil
	}
	credentials := map[string]string{}
	for _, c := range spec.Credentials {
		if c.Name == partner.ServiceAccount {
			continue // the account is connected by its refresh token
		}
		credentials[c.Name] = "demo-" + c.Name
	}
	if err := d.settings.SealCredentials(&p, "", credentials); err != nil {
		return err
	}
	_, err := d.settings.SavePartner(ctx, p)
	return err
}
