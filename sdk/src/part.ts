// Parts of the tag that only some pages need are scripts of their own, loaded
// when they are asked for. Each registers a function here and is given the kit.

import { version } from "./context";
import { fail } from "./notices";
import type { Kit } from "./types";

export type PartName = "cmp" | "gcm" | "banner" | "extras" | "cross";

/** What the files that are loaded from here must be, so that who pins our script pins the whole tag. */
declare const INTEGRITY: Partial<Record<PartName, string>>;

declare global {
  interface Window {
    miqParts?: { [name: string]: (kit: Kit) => unknown };
  }
}

/** Loads the part of exactly our own version, which caches for ever. */
export function load(endpoint: string, nonce: string, name: PartName, kit: Kit): Promise<unknown> {
  return new Promise((done) => {
    const script = document.createElement("script");
    script.src = endpoint + "/sdk/" + version + "/" + name + ".js";
    script.integrity = "sha256-" + INTEGRITY[name];
    script.crossOrigin = "anonymous";
    // A policy that let the tag in by its nonce lets its parts in as well.
    script.nonce = nonce;
    script.onload = () => done(window.miqParts![name](kit));
    script.onerror = () => done(fail("no " + name + ".js"));
    document.head.appendChild(script);
  });
}
