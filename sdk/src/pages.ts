// Page views, in single-page apps too: once for each real change of the address,
// however often an app touches the history.

import { fail } from "./notices";
import type { Held, Page, Properties } from "./types";

let counted: string | undefined; // the address of the last view
let auto = 0; // when that view was counted by ourselves
let before: string | undefined; // the address that led here within the app
let hashes = false;

/** What two addresses of one page have in common. */
const address = (url = location.href) => (hashes ? url : url.split("#")[0]);

/** Is the page as it stands the one that was counted last? */
const same = () => counted && address(counted) == address();

/** The page as it is now; events keep it, since an app may move on before they leave. */
export function currentPage(): Page {
  return { url: location.href, referrer: before || document.referrer, title: document.title };
}

/** The site's own call. It is dropped where we have counted the same view just now. */
export function view(track: (name: string, props?: Properties) => unknown, props?: Properties): void {
  if (same() && Date.now() - auto < 1000) return fail("page view counted already");
  counted = location.href;
  track("page_view", props);
}

/** Counts the page again, which came back out of the back/forward cache. */
export function again(track: (name: string) => unknown): void {
  if (counted) track("page_view");
}

/** Follows an app whose first page was counted; `kind` "hash" takes a new fragment for a new page. */
export function follow(kind: string, track: (name: string) => Held | undefined): void {
  hashes = kind == "hash";
  const moved = () => {
    if (!counted || same()) return;
    before = counted;
    counted = location.href;
    auto = Date.now();
    const event = track("page_view");
    // Apps name the page only after they have gone there.
    setTimeout(() => {
      if (event && event.page.url == location.href) event.page.title = document.title;
    });
  };
  for (const name of ["pushState", "replaceState"] as const) {
    const real = history[name];
    history[name] = function (...args) {
      real.apply(this, args);
      moved();
    };
  }
  addEventListener("popstate", moved);
  addEventListener("hashchange", moved);
  moved();
}
