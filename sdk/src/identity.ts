import { cookieID, read, write } from "./store";
import type { Traits } from "./types";
import { uuid } from "./uuid";

const key = "";

// What identify said. In memory only: plain personal data has no place in storage.
let traits: Traits = {};
let id: string | undefined;

/** The id that this browser has, be it from an earlier visit. The server's cookie outlives what scripts may store. */
export function knownID(): string | null | undefined {
  return id || cookieID() || read(key);
}

/** The browser's id. Reads and writes storage, so it may be called only under partial consent or more. */
export function anonymousID(): string {
  id = knownID() || uuid();
  if (id != read(key)) write(key, id);
  return id;
}

/** What the site said of who the visitor is. */
export function known(): Traits {
  return traits;
}

export function learn(more: Traits): void {
  traits = { ...traits, ...more };
}

export function forgetTraits(): void {
  traits = {};
}

/** Forgets who the visitor is; what is stored goes with everything else of ours. */
export function forgetVisitor(): void {
  id = undefined;
  traits = {};
}

/** As at a logout: the next one is somebody new, whatever cookie is left. */
export function newVisitor(): void {
  traits = {};
  write(key, (id = uuid()));
}
