import { cookieID, expireCookie, idKey, read, write } from "./store";
import type { Identity, Traits } from "./types";
import { uuid } from "./uuid";

// What identify said. In memory only: plain personal data has no place in storage.
let traits: Traits = {};
let id: string | undefined;

/**
 * The browser's id. Reads and writes storage, so it may be called only under
 * partial consent or more. The server's cookie outlives what scripts may store,
 * so it goes first.
 */
export function anonymousID(): string {
  if (!id) {
    const stored = read("localStorage", idKey);
    id = cookieID() || stored || uuid();
    if (id != stored) write("localStorage", idKey, id);
  }
  return id;
}

/** Who the visitor is, as far as we know. */
export function who(clicks: Record<string, string>): Identity {
  return Object.assign({ anonymous_id: anonymousID(), click_ids: clicks }, traits);
}

export function learn(more: Traits): void {
  traits = Object.assign({}, traits, more);
}

export function forgetTraits(): void {
  traits = {};
}

/** Forgets the visitor and leaves no id behind. */
export function forgetVisitor(): void {
  id = undefined;
  forgetTraits();
  write("localStorage", idKey);
  expireCookie();
}

/** Forgets the visitor, as at a logout; the next one is somebody new, whatever cookie is left. */
export function newVisitor(): void {
  forgetVisitor();
  write("localStorage", idKey, (id = uuid()));
}
