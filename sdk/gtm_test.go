package sdk_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/sdk"
)

// sections are the parts of a Tag Manager template by their names.
func sections(t *testing.T, template []byte) map[string]string {
	t.Helper()
	heads := regexp.MustCompile(`(?m)^___(\w+)___$`).FindAllStringSubmatchIndex(string(template), -1)
	out := map[string]string{}
	for i, h := range heads {
		end := len(template)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		out[string(template[h[2]:h[3]])] = strings.TrimSpace(string(template[h[1]:end]))
	}
	return out
}

// sandbox does what Tag Manager's sandbox does with a template's code: it gives it
// the functions that it requires, and refuses what its permissions do not allow.
// Tag Manager itself cannot be had for a test.
const sandbox = `
window.tagManager = function (code, permissions, data, layer) {
  const permission = (id) => permissions.find((p) => p.instance.key.publicId == id);
  const list = (id, key) => permission(id).instance.param.find((p) => p.key == key).value.listItem;
  const globals = {};
  for (const item of list("access_globals", "keys")) {
    const [key, read, write, execute] = item.mapValue.map((v) => v.string ?? v.boolean);
    globals[key] = { read, write, execute };
  }
  const may = (key, how) => { if (!globals[key] || !globals[key][how]) throw new Error("may not " + how + " " + key); };
  const at = (key) => key.split(".").reduce((o, k) => o && o[k], window);
  const put = (key, v) => { const path = key.split("."); const last = path.pop(); path.reduce((o, k) => o[k], window)[last] = v; };
  const urls = list("inject_script", "urls").map((v) => v.string);
  const api = {
    callInWindow: (key, ...args) => { may(key, "execute"); return at(key)(...args); },
    copyFromWindow: (key) => { may(key, "read"); return at(key); },
    setInWindow: (key, v) => { may(key, "write"); put(key, v); return true; },
    createArgumentsQueue: (fn, array) => {
      may(fn, "write"); may(array, "write");
      put(fn, function () { at(array).push(arguments); });
      if (!at(array)) put(array, []);
      return at(fn);
    },
    copyFromDataLayer: (key) => {
      if (!list("read_data_layer", "keyPatterns").some((v) => v.string == key)) throw new Error("may not read " + key);
      return layer[key];
    },
    makeTableMap: (rows, k, v) => Object.fromEntries(rows.map((row) => [row[k], row[v]])),
    queryPermission: (id, url) => id == "inject_script" && urls.includes(url),
    injectScript: (url, ok, bad, token) => {
      if (!urls.includes(url)) throw new Error("may not load " + url);
      window.loaded = window.loaded || {};
      if (window.loaded[token]) return ok();
      window.loaded[token] = true;
      const s = document.createElement("script");
      s.async = true; s.src = url; s.onload = ok; s.onerror = bad;
      document.head.appendChild(s);
    },
    logToConsole: (...args) => console.log(...args),
  };
  const require = (name) => { if (!api[name]) throw new Error("no " + name); return api[name]; };
  return new Promise((ok, bad) => Function("require", "data", code)(require, { ...data, gtmOnSuccess: () => ok("success"), gtmOnFailure: () => ok("failure") }));
};`

func TestTheTagManagerTemplateStartsThePixelAndTracks(t *testing.T) {
	s := newSite(t, impliedMode, quick, "<!doctype html><title>Shop</title><script>"+sandbox+"</script>")
	parts := sections(t, sdk.TagManagerTemplate(s.Collector.URL, "px_demo"))
	for _, name := range []string{"INFO", "TEMPLATE_PARAMETERS", "WEB_PERMISSIONS"} {
		var v any
		if err := json.Unmarshal([]byte(parts[name]), &v); err != nil {
			t.Fatalf("%s is not JSON: %v", name, err)
		}
	}
	var fields []struct {
		Name         string `json:"name"`
		DefaultValue any    `json:"defaultValue"`
	}
	if err := json.Unmarshal([]byte(parts["TEMPLATE_PARAMETERS"]), &fields); err != nil || fields[0].DefaultValue != "px_demo" {
		t.Errorf("the pixel's id is %v", fields[0].DefaultValue)
	}

	code, _ := json.Marshal(parts["SANDBOXED_JS_FOR_WEB_TEMPLATE"])
	ctx := browse(t)
	fire := func(data string) {
		t.Helper()
		js := `tagManager(` + string(code) + `, ` + parts["WEB_PERMISSIONS"] + `, ` + data + `, {ecommerce: {value: 99.5, currency: "GBP", transaction_id: "A-1"}})`
		if end := eval[string](t, ctx, js); end != "success" {
			t.Errorf("%s ended in %s", data, end)
		}
	}
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	// The purchase's tag fires before the one that starts the pixel.
	fire(`{command: "track", pixelId: "px_demo", event: "purchase", ecommerce: true, properties: [{name: "coupon", value: "X"}, {name: "empty", value: ""}]}`)
	fire(`{command: "page", pixelId: "px_demo"}`)
	fire(`{command: "identify", pixelId: "px_demo", userId: "u1"}`)
	fire(`{command: "track", pixelId: "px_demo", event: "generate_lead"}`)
	seen := map[string]map[string]any{}
	for len(seen) < 3 {
		for _, e := range s.next(t).events() {
			if seen[e["name"].(string)] != nil {
				t.Errorf("%s came twice", e["name"])
			}
			seen[e["name"].(string)] = e
		}
	}
	p, _ := seen["purchase"]["properties"].(map[string]any)
	if p["value"] != 99.5 || p["currency"] != "GBP" || p["coupon"] != "X" {
		t.Errorf("purchase with %v", p)
	}
	if _, ok := p["empty"]; ok {
		t.Error("an empty property was sent")
	}
	if seen["page_view"] == nil || seen["generate_lead"] == nil {
		t.Errorf("came: %v", seen)
	}
}

func TestATagManagerTemplateOfAHostileAddressStaysInItsQuotes(t *testing.T) {
	parts := sections(t, sdk.TagManagerTemplate(`https://x.example/"';alert(1)//`, `px"\</script>`))
	for _, name := range []string{"INFO", "TEMPLATE_PARAMETERS", "WEB_PERMISSIONS"} {
		if !json.Valid([]byte(parts[name])) {
			t.Errorf("%s is not JSON any more", name)
		}
	}
	if strings.Contains(parts["SANDBOXED_JS_FOR_WEB_TEMPLATE"], `';alert`) {
		t.Error("the code was broken out of")
	}
}
