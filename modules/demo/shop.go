// Package demo is the shop that `pixel demo` serves: a few pages of a made-up
// store that carry the tag as a marketer would paste it.
package demo

import (
	"embed"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
)

//go:embed shop
var files embed.FS

// Product is something the shop sells.
type Product struct {
	SKU, Name, Tagline, Category string
	Price                        string // dollars
	Hue                          int    // of its picture, in degrees
}

var products = []Product{
	{"TRAIL-01", "Ridgeline", "For paths that stop pretending to be paths", "Trail", "129.50", 152},
	{"ROAD-02", "Tempo", "Light, springy, in a hurry", "Road", "149.00", 18},
	{"REST-03", "Sunday", "For the kilometres after the kilometres", "Recovery", "89.95", 262},
}

// Shop is the store's site.
type Shop struct {
	// Snippet is the tag, exactly as the console offers it for copying.
	Snippet template.HTML
	// Console is the address of the console, to link an event's story.
	Console string
}

type page struct {
	*Shop
	Title    string
	View     string
	Products []Product
	Product  Product
}

// Handler serves the shop.
func (s *Shop) Handler(log *slog.Logger) http.Handler {
	pages := template.Must(template.ParseFS(files, "shop/*.html"))
	static, err := fs.Sub(files, "shop")
	if err != nil {
		panic(err) // the folder is embedded
	}
	show := func(w http.ResponseWriter, view, title string, p Product) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := pages.ExecuteTemplate(w, "page.html", page{s, title, view, products, p}); err != nil {
			log.Error("the demo shop could not show a page", "view", view, "error", err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		show(w, "home", "Fell & Fleet", Product{})
	})
	for path, title := range map[string]string{"product": "Shoe", "checkout": "Check-out", "thanks": "Thank you"} {
		mux.HandleFunc("GET /"+path+"/{sku}", func(w http.ResponseWriter, r *http.Request) {
			for _, p := range products {
				if p.SKU == r.PathValue("sku") {
					show(w, path, title+" · Fell & Fleet", p)
					return
				}
			}
			http.NotFound(w, r)
		})
	}
	for _, name := range []string{"shop.css", "shop.js"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			http.ServeFileFS(w, r, static, name)
		})
	}
	return mux
}
