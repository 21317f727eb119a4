// Visitors who go from one of the pixel's domains to another are somebody new there,
// since each domain has storage of its own. With full consent the link takes a token
// along, which the server makes, knows for two minutes and lets one browser use.

import type { Kit } from "./types";

const key = "_miq";

/** Where this script came from. */
const origin = ((document.currentScript as HTMLScriptElement | null)?.src || "").split("/sdk/")[0];

(window.miqParts = window.miqParts || {}).cross = ({ config, options, allowed, word }: Kit): void => {
  const endpoint = (options.endpoint || origin).replace(/\/+$/, "");
  /** Which of the domains a host belongs to. */
  const domain = (host: string) => config.crosses!.find((one) => ("." + host).endsWith("." + one));
  const here = domain(location.hostname);

  // Not at once: the page may count its view a moment after it has loaded.
  setTimeout(() => land(config.spa == "hash"), 1000);

  // What a token was asked for with is asked again before it is used: the visitor may
  // have become another, or taken consent back.
  let token: string | undefined;
  let asked = "";
  let until = 0;
  /** Asks for a token while the visitor aims. */
  const prepare = async (): Promise<void> => {
    const said = allowed() == "full" && word("full");
    if (!said || (said == asked && Date.now() < until)) return;
    [asked, until, token] = [said, Date.now() + 60_000, undefined];
    try {
      const answer = await fetch(endpoint + "/crossing", { method: "POST", body: said, credentials: "omit" });
      const made = await answer.json();
      if (asked == said) token = made.token;
    } catch {
      until = 0; // to be tried again
    }
  };
  /** The token, which nobody gets twice. */
  const take = (): string | undefined => {
    const fresh = token && Date.now() < until && allowed() == "full" && word("full") == asked ? token : undefined;
    if (fresh) [token, until] = [undefined, 0];
    return fresh;
  };

  const target = (event: Event): [Element, URL] | undefined => {
    const [first] = event.composedPath();
    const found = first instanceof Element && first.closest("a[href],area[href],form");
    if (!found) return;
    const { submitter } = event as SubmitEvent;
    const to = found.localName == "form" ? (submitter?.getAttribute("formaction") || found.getAttribute("action")) : (found as HTMLAnchorElement).href;
    try {
      const url = new URL(to || "", location.href);
      const there = /^https?:/.test(url.protocol) && domain(url.hostname);
      if (there && there != here) return [found, url];
    } catch {
      // It leads nowhere.
    }
  };

  const go = (event: Event): void => {
    // The right button opens a menu, where addresses are copied.
    const found = !(event as MouseEvent).button || (event as MouseEvent).button == 1 ? target(event) : undefined;
    if (!found || event.defaultPrevented) return;
    const [element, url] = found;
    const form = element.localName == "form";
    if (form != (event.type == "submit")) return;
    const mine = take();
    if (!mine) return;
    // In the fragment no server and no referrer sees it; apps may have their pages there.
    const get = form && !/^post$/i.test((event as SubmitEvent).submitter?.getAttribute("formmethod") || element.getAttribute("method") || "");
    if (config.spa == "hash") url.searchParams.set(key, mine);
    else url.hash += (url.hash ? "&" : "") + key + "=" + mine;
    // The address is put back at once: whoever copies it later copies it as it was.
    if (form && get && config.spa == "hash") {
      // Its fields take the place of the query.
      const field = document.createElement("input");
      [field.type, field.name, field.value] = ["hidden", key, mine];
      element.append(field);
      setTimeout(() => field.remove());
      return;
    }
    const submitter = (event as SubmitEvent).submitter;
    const [holder, name] = form ? (submitter?.hasAttribute("formaction") ? [submitter, "formaction"] : [element, "action"]) : [element, "href"];
    const was = holder.getAttribute(name);
    holder.setAttribute(name, url.href);
    setTimeout(() => (was == null ? holder.removeAttribute(name) : holder.setAttribute(name, was)));
  };

  const on = (events: string, act: (event: Event) => void) => events.split(" ").forEach((name) => addEventListener(name, act, { capture: true, passive: true }));
  on("pointerover pointerdown touchstart focusin", (event) => target(event) && prepare());
  on("click auxclick submit", go);
};

/** Takes the token out of the address bar; the first event has it already. */
function land(query: boolean): void {
  const found = (query ? /([?&])_miq=[\w-]+(&?)/ : /([#&])_miq=[\w-]+()$/).exec(location.href);
  if (!found) return;
  const [all, before, after] = found;
  const rest = location.href.replace(all, after ? before : "");
  // Not by the page's own history: an app's page view would be counted for it.
  History.prototype.replaceState.call(history, history.state, "", rest);
  // A part of the page that the address names was not found under the longer name.
  if (before == "&" && !query) location.replace(location.hash);
}
