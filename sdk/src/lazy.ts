// The banner is a script of its own, so that pages which never ask do not load it.

import { version } from "./context";
import type { BannerTexts, State } from "./types";

export interface BannerOptions {
  /** The state in force when the visitor asked for the banner; undefined the first time. */
  current?: State;
  privacyURL?: string;
  texts?: Record<string, BannerTexts>;
  choose(state?: State): void;
}

export type ShowBanner = (options: BannerOptions) => () => void;

declare global {
  interface Window {
    miqBanner?: ShowBanner;
  }
}

/** Loads the banner of exactly our own version, which caches for ever; once is enough. */
export function loadBanner(endpoint: string, nonce?: string): Promise<ShowBanner | undefined> {
  return new Promise((resolve, reject) => {
    if (window.miqBanner) return resolve(window.miqBanner);
    const script = document.createElement("script");
    script.src = endpoint + "/sdk/" + version + "/banner.js";
    // A policy that let the tag in by its nonce lets the banner in as well.
    script.nonce = nonce || "";
    script.onload = () => resolve(window.miqBanner);
    script.onerror = () => reject("no banner.js");
    document.head.appendChild(script);
  });
}
