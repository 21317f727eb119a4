// Command weigh prints how many bytes the tag is as it travels, gzipped at level
// 9, next to its peers. See bench/README.md.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/miq/pixel/sdk"
)

// peers were weighed in the same way on 22 November 2026, from their npm packages
// or repositories: minified where they ship unminified files, bundled where they
// ship modules.
var peers = []struct {
	name  string
	size  int
	notes string
}{
	{"GoatCounter count.js (c957f51c)", 2188, "counts page views; no queue, no consent"},
	{"Umami tracker (c0ea3aef)", 2200, "counts; no queue, no consent"},
	{"@plausible-analytics/tracker 0.4.6", 2670, "counts; no queue, no consent"},
	{"@snowplow/browser-tracker 4.10.1", 17423, "queue, retries"},
	{"Matomo matomo.js (f09912cb)", 21998, "queue, consent gate"},
	{"walkerOS collector + browser source 4.2.1", 27257, "queue, consent gate"},
	{"Snowplow with e-commerce, link, form and button plugins", 27732, ""},
	{"@segment/analytics-next 1.84.3", 30052, "queue, retries"},
	{"@jitsu/js 1.11.0", 30273, ""},
	{"@rudderstack/analytics-js 3.34.1, bundled", 50058, "queue, retries, consent"},
	{"posthog-js 1.449.2, slim", 54252, "queue, retries"},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "weigh:", err)
		os.Exit(1)
	}
}

func run() error {
	parts := sdk.Parts()
	figures := map[string]int{}
	for name, file := range map[string][]byte{
		"core": sdk.Script(), "module": sdk.Module(), "extras": parts["extras"], "cmp": parts["cmp"], "gcm": parts["gcm"], "banner": parts["banner"],
	} {
		size, err := gzipped(file)
		if err != nil {
			return err
		}
		figures[name+"_gzip"] = size
	}
	figures["full_gzip"] = figures["core_gzip"] + figures["extras_gzip"]

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "gzipped bytes\t\t")
	for _, l := range []struct {
		size        int
		name, notes string
	}{
		{figures["core_gzip"], "core: sdk.js", "queue, consent gate, retries, parked batches, single-page apps; at most 6144"},
		{figures["full_gzip"], "core, autotrack and e-commerce", "at most 9216"},
		{figures["cmp_gzip"], "+ consent from TCF, GPP, US Privacy, frames", "loaded in the modes cmp and implied"},
		{figures["gcm_gzip"], "+ consent from Consent Mode and four platforms", "loaded in the mode gcm"},
		{figures["banner_gzip"], "+ our own banner, in eight languages", "loaded in the mode banner"},
	} {
		fmt.Fprintf(w, "%d\t%s\t%s\n", l.size, l.name, l.notes)
	}
	fmt.Fprintln(w, "\tpeers, weighed on 22 November 2026\t")
	for _, p := range peers {
		fmt.Fprintf(w, "%d\t%s\t%s\n", p.size, p.name, p.notes)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(figures)
}

func gzipped(file []byte) (int, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return 0, err
	}
	if _, err := w.Write(file); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	return packed.Len(), nil
}
