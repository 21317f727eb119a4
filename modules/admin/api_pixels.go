package admin

import (
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

// pixelBody is what may be written of a pixel. Revision, where given, is the
// one that the change was made upon.
type pixelBody struct {
	ID              string                  `json:"id"`
	Name            string                  `json:"name"`
	Advertiser      string                  `json:"advertiser"`
	Domains         []string                `json:"domains"`
	Enabled         *bool                   `json:"enabled"`
	ConsentMode     settings.ConsentMode    `json:"consent_mode"`
	Consent         settings.ConsentOptions `json:"consent"`
	PrivacyURL      string                  `json:"privacy_url"`
	Country         string                  `json:"country"`
	Banner          settings.BannerOptions  `json:"banner,omitzero"`
	Tag             settings.TagOptions     `json:"tag,omitzero"`
	Dry             bool                    `json:"dry,omitzero"`
	Processing      settings.Processing     `json:"processing,omitzero"`
	Attribution     settings.Attribution    `json:"attribution,omitzero"`
	Retention       settings.Retention      `json:"retention,omitzero"`
	ConsentApproval bool                    `json:"consent_approval,omitzero"`
	Routes          []settings.Route        `json:"routes"`
	Schemas         settings.Schemas        `json:"schemas,omitzero"`
	Revision        int64                   `json:"revision"`
}

func bodyOf(p settings.Pixel) pixelBody {
	return pixelBody{p.ID, p.Name, p.Advertiser, p.Domains, &p.Enabled, p.ConsentMode, p.Consent, p.PrivacyURL, p.Country, p.Banner, p.Tag, p.Dry, p.Processing, p.Attribution, p.Retention, p.ConsentApproval, p.Routes, p.Schemas, p.Revision}
}

func (b pixelBody) pixel() settings.Pixel {
	return settings.Pixel{
		ID: b.ID, Name: b.Name, Advertiser: b.Advertiser, Domains: b.Domains, Enabled: b.Enabled == nil || *b.Enabled,
		ConsentMode: b.ConsentMode, Consent: b.Consent, PrivacyURL: b.PrivacyURL, Country: b.Country, Banner: b.Banner, Tag: b.Tag, Dry: b.Dry, Processing: b.Processing, Attribution: b.Attribution, Retention: b.Retention, ConsentApproval: b.ConsentApproval, Routes: b.Routes, Schemas: b.Schemas, Revision: b.Revision,
	}
}

func (a *Admin) listPixels(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(a.pixels(c.Request().Context()), ""))
}

func (a *Admin) createPixel(c *echo.Context) error {
	var in pixelBody
	if err := decode(c, &in); err != nil {
		return err
	}
	p, err := a.addPixel(c.Request().Context(), me(c), in.pixel())
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", base+"/pixels/"+p.ID)
	return c.JSON(http.StatusCreated, p)
}

func (a *Admin) getPixel(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}

func (a *Admin) patchPixel(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	// The patch alone must be of the right shape, so that a mistake is reported
	// where it was made.
	var change jsontext.Value
	if err := decode(c, &change); err != nil {
		return err
	}
	if change.Kind() != '{' {
		return settings.Invalid{{Field: "", Message: "must be an object"}}
	}
	changed, err := patched(p, change)
	if err != nil {
		return err
	}
	saved, err := a.changePixel(c.Request().Context(), me(c), "pixel.update", changed)
	if err != nil {
		return pendingAnswer(c, err)
	}
	return c.JSON(http.StatusOK, saved)
}

// patched is a pixel after a merge patch.
func patched(p settings.Pixel, change jsontext.Value) (settings.Pixel, error) {
	was, err := json.Marshal(bodyOf(p))
	if err != nil {
		return p, err
	}
	merged, err := mergePatch(was, change)
	if err != nil {
		return p, err
	}
	var b pixelBody
	if err := json.Unmarshal(merged, &b, json.RejectUnknownMembers(true)); err != nil {
		return p, badPatch(err)
	}
	if b.ID != p.ID {
		return p, settings.Invalid{{Field: "id", Message: "cannot be changed, since tags on pages name it"}}
	}
	if b.ConsentMode == "" {
		b.ConsentMode = settings.CMP
	}
	out := b.pixel()
	out.CreatedAt, out.UpdatedAt, out.Fields = p.CreatedAt, p.UpdatedAt, p.Fields
	return out, nil
}

func (a *Admin) deletePixel(c *echo.Context) error {
	if err := a.removePixel(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return pendingAnswer(c, err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *Admin) getSnippet(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, a.tag(c, p.ID))
}

// getTagManager hands out the Google Tag Manager template, as a file to import.
func (a *Admin) getTagManager(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="pixel.tpl"`)
	return c.Blob(http.StatusOK, "text/plain; charset=utf-8", sdk.TagManagerTemplate(a.tag(c, p.ID).Origin, p.ID))
}

func (a *Admin) putRoutes(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	var routes []settings.Route
	if err := decode(c, &routes); err != nil {
		return err
	}
	p.Routes = nonNil(routes)
	saved, err := a.changePixel(c.Request().Context(), me(c), "pixel.routes", p)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, saved.Routes)
}
