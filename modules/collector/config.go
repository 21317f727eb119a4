package collector

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// tagConfig is what the tag may know of its pixel, and with it everybody.
type tagConfig struct {
	PixelID         string               `json:"pixel_id"`
	Enabled         bool                 `json:"enabled"`
	ConsentMode     settings.ConsentMode `json:"consent_mode"`
	TCFVendorID     int                  `json:"tcf_vendor_id"`
	IgnoreGPCInGDPR bool                 `json:"ignore_gpc_in_gdpr,omitzero"`
	Banner          *tagBanner           `json:"banner,omitempty"` // where it is shown
	Batch           tagBatch             `json:"batch"`
	SPA             string               `json:"spa,omitempty"`
	Autotrack       []string             `json:"autotrack,omitempty"`
	Ecommerce       bool                 `json:"ecommerce,omitzero"`
	DataLayer       string               `json:"data_layer,omitempty"`
	ClickIDs        []string             `json:"click_ids,omitempty"`
	Storage         string               `json:"storage,omitempty"` // as browsers name it
	Crosses         []string             `json:"crosses,omitempty"` // the domains that visitors are followed across
	Trace           float64              `json:"trace,omitzero"`    // the share of requests that begin a trace
}

type tagBanner struct {
	PrivacyURL string                       `json:"privacy_url,omitempty"`
	Language   string                       `json:"language,omitempty"`
	Texts      map[string]map[string]string `json:"texts,omitempty"`
	HideReopen bool                         `json:"hide_reopen,omitzero"`
}

type tagBatch struct {
	MaxEvents int `json:"max_events"`
	MaxWaitMS int `json:"max_wait_ms"`
}

func (c *Collector) tagConfig(p settings.Pixel) tagConfig {
	t := tagConfig{
		PixelID: p.ID, Enabled: p.Enabled, ConsentMode: p.ConsentMode, TCFVendorID: c.vendorID, IgnoreGPCInGDPR: p.Consent.IgnoreGPCInGDPR,
		Batch: tagBatch{MaxEvents: min(10, c.cfg.MaxEvents), MaxWaitMS: 2000},
		SPA:   p.Tag.SPA, Autotrack: p.Tag.Autotrack, Ecommerce: p.Tag.Ecommerce, DataLayer: p.Tag.DataLayer, ClickIDs: p.Tag.ClickIDs,
		Trace: c.traced,
	}
	if p.ConsentMode == settings.Banner {
		t.Banner = &tagBanner{p.PrivacyURL, p.Banner.Language, p.Banner.Texts, p.Banner.HideReopen}
	}
	if p.Tag.CrossDomain {
		t.Crosses = p.Domains
	}
	switch p.Tag.Storage {
	case "session":
		t.Storage = "sessionStorage"
	case "none":
		t.Storage = "none"
	}
	return t
}

// config answers GET /config/{pixel_id}.json. A pixel that is switched off says
// so; its tag then does nothing.
func (c *Collector) config(ec *echo.Context) error {
	public(ec)
	id, ok := strings.CutSuffix(ec.Param("file"), ".json")
	p, known := c.pixels.Pixel(id)
	if !ok || !known {
		return httpserver.NewProblem(http.StatusNotFound, "unknown_pixel", "there is no pixel of this id")
	}
	body, err := json.Marshal(c.tagConfig(p), json.Deterministic(true))
	if err != nil {
		return err
	}
	ec.Response().Header().Set("Cache-Control", "public, max-age=60, stale-while-revalidate=86400")
	return tagged(ec, "application/json", body, etag(body))
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// tagged sends a body, unless the client has that one already.
func tagged(ec *echo.Context, contentType string, body []byte, tag string) error {
	ec.Response().Header().Set("ETag", tag)
	for known := range strings.SplitSeq(ec.Request().Header.Get("If-None-Match"), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			return ec.NoContent(http.StatusNotModified)
		}
	}
	ec.Response().Header().Set("Content-Length", strconv.Itoa(len(body)))
	return ec.Blob(http.StatusOK, contentType, body)
}
