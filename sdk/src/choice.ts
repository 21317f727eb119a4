// The banner's memory. An acceptance is kept for six months; a refusal only for
// this tab's session and as a bare word without an identifier, because not to
// be asked again on every page is what the visitor who refused has asked for.

import { choiceKey, read, write } from "./store";
import type { State } from "./types";

const lifetime = 182 * 86_400_000;

/** What the visitor chose; undefined when the question is open. */
export function remembered(now = Date.now()): State | undefined {
  if (read("sessionStorage", choiceKey) == "refused") return "none";
  try {
    const { state, time } = JSON.parse(read("localStorage", choiceKey) || "{}");
    if ((state == "full" || state == "partial") && now - time < lifetime) return state;
  } catch {
    // Somebody else's value; the visitor is asked again.
  }
}

export function remember(state: State, now = Date.now()): void {
  write("localStorage", choiceKey, state == "none" ? undefined : JSON.stringify({ state, time: now }));
  write("sessionStorage", choiceKey, state == "none" ? "refused" : undefined);
}
