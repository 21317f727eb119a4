// What partial consent takes out before anything leaves the browser. The server
// does the same again, but what never left cannot leak.

import { isClick } from "./touch";
import { parse } from "./url";
import type { Page } from "./types";

// Keys that name a person or a device, compared in lower case and without
// separators, so that `userEmail` and `user_email` are one. Wider than need be:
// losing a harmless key costs less than letting a name out.
const person =
  /mail|phone|mobile|address|street|birth|post(al)?code|^zip|^(city|dob|ip|tdid|uid2|maid)$|(first|last|full|sur|user)name|(user|customer|account|device)id/;

const email = /[^\s@=&?/](@|%40)[^\s@=&?/]+\.[a-z]{2}/i; // enough to find one

/** An address without the visitor's own things: origin, path and campaign. */
export function cleanURL(url: string): string {
  const parsed = parse(url);
  if (!parsed) return "";
  const kept = new URLSearchParams();
  parsed.searchParams.forEach((value, key) => {
    if (/^utm_/.test(key) && !email.test(value)) kept.append(key, value);
  });
  return parsed.origin + parsed.pathname + ("?" + kept).replace(/\?$/, "");
}

export function cleanPage(page: Page): Page {
  return {
    url: cleanURL(page.url),
    referrer: parse(page.referrer)?.origin || "",
    title: email.test(page.title) ? "" : page.title,
  };
}

/** Properties at any depth, without keys that name a person or a click, and without e-mail addresses. */
export function cleanProperties<T>(value: T): T;
export function cleanProperties(value: unknown): unknown {
  if (typeof value == "string") {
    if (/^https?:/i.test(value)) return cleanURL(value);
    return email.test(value) ? undefined : value;
  }
  if (!value || typeof value != "object") return value;
  const kept: Record<string, unknown> = Array.isArray(value) ? ([] as never) : {};
  for (const [key, inner] of Object.entries(value)) {
    const plain = key.toLowerCase().replace(/[^a-z0-9]/g, "");
    if (!person.test(plain) && !isClick(plain)) kept[key] = cleanProperties(inner);
  }
  return kept;
}
