// What visitors do on any page, for sites that ask for it: clicks, links that
// lead away, downloads, forms sent, how far down they read. It looks at elements
// and addresses, and never at what is typed into a field.

import type { Kit } from "./types";

const files = /\.(pdf|docx?|xlsx?|pptx?|csv|txt|rtf|zip|rar|7z|gz|dmg|exe|msi|pkg|apk|mp[34]|mov|avi|wav|epub|ics)$/i;
const depths = [25, 50, 75, 90, 100];

/** A text without the visitor's own words: what an editor may hold, or what marks itself private, is nobody's. */
function label(element: Element): string | undefined {
  if (element.closest("[contenteditable],[data-miq-ignore],input,textarea,select")) return;
  const text = element.getAttribute("aria-label") || element.textContent || "";
  return text.trim().replace(/\s+/g, " ").slice(0, 100) || undefined;
}

const about = (element: Element) => ({ id: element.id || undefined, classes: element.getAttribute("class")?.slice(0, 100) || undefined });

/** An address without what a form or a mail program may have put into it. */
const plain = (url: URL) => (/^https?:/.test(url.protocol) ? url.origin + url.pathname : url.protocol);

export function autotrack({ config, track }: Kit): void {
  const wanted = config.autotrack || [];
  const on = (kind: string, event: string, act: (event: Event) => void) => {
    if (wanted.includes(kind)) document.addEventListener(event, act, { capture: true, passive: true });
  };

  /** The nearest such element that may be watched. */
  const near = (event: Event, selector: string): Element | undefined => {
    const [target] = event.composedPath();
    const found = target instanceof Element ? target.closest(selector) : null;
    return found && !found.closest("[data-miq-ignore]") ? found : undefined;
  };

  const link = (event: Event) => {
    const anchor = near(event, "a[href],area[href]") as HTMLAnchorElement | undefined;
    // Two clicks of the middle button open two pages; the right one opens none.
    if (!anchor || (event.type == "auxclick" && (event as MouseEvent).button != 1)) return;
    const url = new URL(anchor.href, location.href);
    const to = { link_url: plain(url), link_domain: url.hostname || undefined, link_text: label(anchor), link_id: anchor.id || undefined };
    const file = files.exec(url.pathname);
    if (file && wanted.includes("downloads")) {
      track("file_download", Object.assign({ file_name: url.pathname.split("/").pop(), file_extension: file[1].toLowerCase() }, to));
    } else if (url.hostname != location.hostname && wanted.includes("outbound")) {
      track("outbound_click", Object.assign({ outbound: true }, to));
    } else return;
    event.miq = true;
  };
  for (const kind of ["outbound", "downloads"])
    if (wanted.includes(kind)) {
      on(kind, "click", link);
      on(kind, "auxclick", link);
      break;
    }

  on("clicks", "click", (event) => {
    const element = near(event, "a[href],button,[role=button],summary,input[type=submit],input[type=button]");
    // A link that was counted as one is no click besides.
    if (!element || event.miq) return;
    const href = (element as HTMLAnchorElement).href;
    track("element_click", Object.assign({ element: element.localName, text: label(element), link_url: href ? plain(new URL(href, location.href)) : undefined }, about(element)));
  });

  on("forms", "submit", (event) => {
    const form = near(event, "form");
    if (!form) return;
    const action = new URL(form.getAttribute("action") || "", location.href);
    // getAttribute: a field may be called "id", "name" or "action", and then the form's property is the field.
    track("form_submit", { form_id: form.getAttribute("id") || undefined, form_name: form.getAttribute("name") || undefined, form_destination: plain(action) });
  });

  let page = "";
  let next = 0;
  let due = false;
  on("scroll", "scroll", () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      const { scrollHeight } = document.documentElement;
      if (page != location.pathname) [page, next] = [location.pathname, 0];
      const percent = ((scrollY + innerHeight) / scrollHeight) * 100;
      // A page that fits the window was not scrolled.
      if (scrollHeight <= innerHeight) return;
      let reached = 0;
      while (next < depths.length && percent >= depths[next] - 0.5) reached = depths[next++];
      if (reached) track("scroll", { percent_scrolled: reached });
    });
  });
}

declare global {
  interface Event {
    /** Counted already. */
    miq?: boolean;
  }
}
