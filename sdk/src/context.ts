import type { Context, Page } from "./types";

/** Replaced by the build with the version that sdk.go declares. */
declare const VERSION: string;

export const version = VERSION;

export function context(page: Page): Context {
  return {
    page,
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    screen: { width: screen.width, height: screen.height },
    sdk: { name: "web", version },
  };
}
