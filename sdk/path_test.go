package sdk_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestUnderAPathOnTheAdvertisersHostEverythingIsBesideTheScript(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, strings.ReplaceAll(shop(), "{origin}", "{origin}"+behindPath))
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	if a := s.next(t); a.Path != behindPath+"/collect" || a.names() != "page_view" {
		t.Errorf("got %s %s", a.Path, a.names())
	}
}
