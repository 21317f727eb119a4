import type { Context, Page } from "./types";

/** Replaced by the build with the version that sdk.go declares. */
declare const VERSION: string;

export const version = VERSION;

/** The page as it is now; events keep it, since an app may move on before they leave. */
export function currentPage(): Page {
  return { url: location.href, referrer: document.referrer, title: document.title };
}

export function context(page: Page): Context {
  return {
    page,
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    screen: { width: screen.width, height: screen.height },
    sdk: { name: "web", version },
  };
}
