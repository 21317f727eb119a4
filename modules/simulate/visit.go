package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// request is one envelope on its way to a collector, and what its events are.
type request struct {
	body   []byte
	origin string
	agent  string
	ip     string
	first  int // number of the first event; the others follow
	events int
	buys   int // how many of them are conversions
	again  bool
}

// visit is one that goes on.
type visit struct {
	shop    int
	visitor int
	left    int // pages
	page    int
	landing string // the query of the page it came in by
	from    string // the page before, at first the site it came from
	buys    bool
	robot   string // its user agent, if it is one
	ip      string
	touch   map[string]string // click ids that it came with
}

// crowd makes the requests of all visits, one after the other. It is one line of
// random numbers, so that a seed makes the same visits however fast they are sent.
type crowd struct {
	r        *rand.Rand
	shops    []Shop
	visitors int
	robots   float64
	prefix   string
	open     []*visit
	events   int
	orders   int
}

const (
	// together is how many visits go on at any time.
	together = 400
	// repeats is the share of requests that are sent twice, as the tag does whose
	// answer was lost.
	repeats = 0.01
)

func newCrowd(o Options) *crowd {
	return &crowd{r: rand.New(rand.NewPCG(o.Seed, 0x5eed)), shops: o.Shops, visitors: o.Visitors, robots: o.Robots, prefix: o.prefix}
}

// next makes the next request of whichever visit it is.
func (c *crowd) next(now time.Time) request {
	for len(c.open) < together { // the first time, when many are half-way through already
		v := c.come()
		v.left = 1 + c.r.IntN(v.left)
		c.open = append(c.open, v)
	}
	i := c.r.IntN(len(c.open))
	v := c.open[i]
	out := c.request(v, now)
	if v.left <= 0 {
		c.open[i] = c.come()
	}
	return out
}

func (c *crowd) come() *visit {
	r := c.r
	v := &visit{shop: c.whichShop()}
	s := c.shops[v.shop]
	if r.Float64() < c.robots {
		v.robot, v.visitor, v.left = robots[r.IntN(len(robots))], -1-r.IntN(50), 1+r.IntN(12)
		v.ip = fmt.Sprintf("66.249.%d.%d", r.IntN(32)+64, r.IntN(254)+1)
		return v
	}
	// Few come often and many once: the square crowds them towards the low numbers.
	x := r.Float64()
	v.visitor = int(x * x * float64(c.visitors))
	v.left, v.page = 1+r.IntN(4)+r.IntN(6), r.IntN(s.Products)
	v.buys = v.left > 3 && r.IntN(9) == 0
	v.ip = fmt.Sprintf("%d.%d.%d.%d", 81+number(v.visitor, 6)%10, number(v.visitor, 7)%256, number(v.visitor, 8)%256, 1+number(v.visitor, 9)%254)
	switch n := r.IntN(20); {
	case n < 4:
		click := fmt.Sprintf("Cj0KCQ%016x", r.Uint64())
		v.landing, v.from, v.touch = fmt.Sprintf("?utm_source=google&utm_medium=cpc&utm_campaign=%s&gclid=%s", c.campaign(), click), "https://www.google.com/", map[string]string{"gclid": click}
	case n < 6:
		v.landing, v.from = "?utm_source=thetradedesk&utm_medium=display&utm_campaign="+c.campaign(), "https://news.example/"
	case n < 8:
		click := fmt.Sprintf("IwAR%016x", r.Uint64())
		v.landing, v.from, v.touch = fmt.Sprintf("?utm_source=facebook&utm_medium=paid_social&utm_campaign=%s&fbclid=%s", c.campaign(), click), "https://l.facebook.com/", map[string]string{"fbclid": click}
	case n < 9:
		v.landing = "?utm_source=newsletter&utm_medium=email&utm_campaign=" + c.campaign()
	case n < 14:
		v.from = "https://www.google.com/"
	}
	return v
}

func (c *crowd) whichShop() int {
	x := c.r.Float64()
	for i, s := range c.shops {
		if x -= s.share; x < 0 {
			return i
		}
	}
	return 0
}

// campaign is one of a few that are large and many that are small.
func (c *crowd) campaign() string {
	x := c.r.Float64()
	return fmt.Sprintf("campaign-%02d", int(x*x*x*40))
}

type happening struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	Properties jsontext.Value `json:"properties,omitempty"`
}

type envelope struct {
	PixelID  string         `json:"pixel_id"`
	SentAt   time.Time      `json:"sent_at"`
	Consent  event.Consent  `json:"consent"`
	Identity map[string]any `json:"identity"`
	Context  map[string]any `json:"context"`
	Events   []happening    `json:"events"`
}

// request is a page of the visit: what the tag sends of it at once.
func (c *crowd) request(v *visit, now time.Time) request {
	r, s := c.r, c.shops[v.shop]
	names := []string{"page_view"}
	path, title := fmt.Sprintf("/shoes/item-%d", v.page), fmt.Sprintf("Shoe %d | %s", v.page, s.Name)
	switch {
	case v.robot != "":
	case v.buys && v.left == 1:
		names, path, title = append(names, "purchase"), "/thanks", "Thank you | "+s.Name
	case v.buys && v.left == 2:
		names, path, title = append(names, "begin_checkout"), "/checkout", "Check-out | "+s.Name
	case v.buys && v.left == 3 || r.IntN(12) == 0:
		names = append(names, "view_item", "add_to_cart")
	case r.IntN(2) == 0:
		names = append(names, "view_item")
	}
	if v.robot == "" && r.IntN(3) == 0 {
		names = append(names, "scroll")
	}
	here := "https://" + s.Host + path
	env := envelope{
		PixelID: s.ID, SentAt: now, Consent: consentOf(v, s, now), Identity: map[string]any{"anonymous_id": nameOf(v.shop, v.visitor)},
		Context: map[string]any{
			"page":   map[string]any{"url": here + v.landing, "referrer": v.from, "title": title},
			"locale": locales[number(v.visitor, 5)%uint64(len(locales))], "timezone": "Europe/London",
			"screen": map[string]any{"width": 1920, "height": 1080},
			"sdk":    map[string]any{"name": "web", "version": "1.0.0"},
		},
	}
	if len(v.touch) > 0 {
		env.Identity["click_ids"] = v.touch
	}
	if v.robot == "" && number(v.visitor, 3)%4 == 0 || v.buys && v.left == 1 {
		env.Identity["user_id"] = fmt.Sprintf("customer-%d", v.visitor)
		env.Identity["email"] = fmt.Sprintf("customer-%d@mail.example", v.visitor)
	}
	out := request{origin: "https://" + s.Host, agent: v.agent(), ip: v.ip, first: c.events, again: r.Float64() < repeats}
	price := fmt.Sprintf("%d.%02d", 20+r.IntN(180), r.IntN(100))
	for i, name := range names {
		h := happening{ID: fmt.Sprintf("%s%d", c.prefix, c.events), Name: name, Time: now.Add(time.Duration(i-len(names)) * 150 * time.Millisecond)}
		item := fmt.Sprintf(`"value":%s,"currency":%q,"items":[{"item_id":"SKU-%d","item_name":"Shoe %d","price":%s,"quantity":1}]`, price, s.Currency, v.page, v.page, price)
		switch name {
		case "page_view":
			h.Properties = jsontext.Value(`{"category":"shoes"}`)
		case "scroll":
			h.Properties = jsontext.Value(`{"percent":75}`)
		case "purchase":
			c.orders++
			out.buys++
			h.Properties = jsontext.Value(fmt.Sprintf(`{"order_id":"%so%d",%s}`, c.prefix, c.orders, item))
		default:
			h.Properties = jsontext.Value("{" + item + "}")
		}
		env.Events = append(env.Events, h)
		c.events++
		out.events++
	}
	body, err := json.Marshal(env, json.Deterministic(true))
	if err != nil {
		panic(err) // all of it is ours
	}
	out.body = body
	v.left--
	v.from, v.landing, v.touch, v.page = here, "", nil, (v.page+1+r.IntN(5))%s.Products
	return out
}

// number is the n-th of a visitor's own numbers, always the same.
func number(visitor int, n uint64) uint64 {
	x := uint64(visitor)*0x9E3779B97F4A7C15 + n*0xBF58476D1CE4E5B9
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// nameOf is what a visitor's browser is called at a shop.
func nameOf(shop, visitor int) string {
	a, b := number(visitor, 1+100*uint64(shop)), number(visitor, 2+100*uint64(shop))
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a), uint16(a>>32), a>>48&0xfff, b>>48&0xfff, b&0xffffffffffff)
}

func (v *visit) agent() string {
	if v.robot != "" {
		return v.robot
	}
	return agents[number(v.visitor, 4)%uint64(len(agents))]
}

var locales = []string{"en-GB", "de-DE", "en-US", "fr-FR", "sv-SE"}

var agents = func() (list []string) {
	for _, system := range []string{"Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64", "Linux; Android 10; K"} {
		mobile := ""
		if system[0] == 'L' {
			mobile = " Mobile"
		}
		for v := 134; v < 144; v++ {
			list = append(list, fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0%s Safari/537.36", system, v, mobile))
		}
	}
	for v := 16; v < 20; v++ {
		for range 4 {
			list = append(list, fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS %d_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.1 Mobile/15E148 Safari/604.1", v, v))
		}
		list = append(list, fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", v+120, v+120))
	}
	return list
}()

var robots = []string{
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
	"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
	"python-requests/2.32.3",
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/139.0.0.0 Safari/537.36",
}
