// The banner's memory. An acceptance is kept for six months; a refusal only for
// this tab's session and as a bare word without an identifier, because not to
// be asked again on every page is what the visitor who refused has asked for.

import { read, write } from "../store";
import type { State } from "../types";

const key = "_consent";
const lifetime = 182 * 86_400_000;

/** What the visitor chose; undefined when the question is open. */
export function remembered(now = Date.now()): State | undefined {
  if (read(key, "sessionStorage") == "refused") return "none";
  try {
    const { state, time } = JSON.parse(read(key, "localStorage") || "{}");
    if ((state == "full" || state == "partial") && now - time < lifetime) return state;
  } catch {
    // Somebody else's value; the visitor is asked again.
  }
}

export function remember(state: State, now = Date.now()): void {
  write(key, state == "none" ? undefined : JSON.stringify({ state, time: now }), "localStorage");
  write(key, state == "none" ? "refused" : undefined, "sessionStorage");
}
