package admin

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
)

// badPatch reports a member of a merge patch that fits nowhere.
func badPatch(err error) error {
	p := httpserver.BadJSON(err)
	if len(p.Errors) == 0 {
		return errors.Join(p, err)
	}
	return p
}

func (a *Admin) listPartners(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.partnerViews(ctx)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

func (a *Admin) getPartner(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	v, err := a.partnerView(ctx, param(c, "name"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

func (a *Admin) patchPartner(c *echo.Context) error {
	var in partnerChange
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := a.changePartner(c.Request().Context(), me(c), param(c, "name"), in); err != nil {
		return err
	}
	return a.getPartner(c)
}

func (a *Admin) testPartner(c *echo.Context) error {
	var in testInput
	if err := decode(c, &in); err != nil {
		return err
	}
	result, err := a.sendTest(c.Request().Context(), me(c), param(c, "name"), in)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, result)
}
