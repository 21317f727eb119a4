// Where signals come from: the page's CMP, the US privacy API, the browser's
// GPC, and what the site itself says. Raw strings are kept for the envelope.

import { fromTCF, type TCData } from "./decide";
import type { Signals, State } from "./types";

type USPData = { uspString?: string } | null;

declare global {
  interface Window {
    __tcfapi?: (command: string, version: number, fn: (data: TCData, ok: boolean) => void, arg?: unknown) => void;
    __uspapi?: (command: string, version: number, fn: (data: USPData, ok: boolean) => void, arg?: unknown) => void;
  }
  interface Navigator {
    globalPrivacyControl?: boolean;
  }
}

/** What a CMP tells: it is there, it asks, or it has decided. */
export interface Listener {
  (news: "found" | "shown" | "answered" | "lost" | State): void;
}

/** An answer, whatever the phase it comes in. */
export function settle(tell: Listener, state: State): void {
  tell("found");
  tell("answered");
  tell(state);
}

/** The browser's own opt-out; undefined where the browser knows none. */
export function gpc(): boolean | undefined {
  const { globalPrivacyControl } = navigator;
  return globalPrivacyControl === undefined ? undefined : !!globalPrivacyControl;
}

/** Calls one of the page's consent functions, which may be missing or broken: false then. */
function ask(api: "__tcfapi" | "__uspapi", command: string, fn: (data: never, ok: boolean) => void, arg?: unknown): boolean {
  try {
    // Looked up at each call, since a CMP replaces its stub.
    window[api]!(command, api == "__tcfapi" ? 2 : 1, fn as never, arg);
    return true;
  } catch {
    return false;
  }
}

/** Reads the US privacy string; `done` is called at once where there is no such API. */
export function readUSP(into: Signals, done: () => void): void {
  const heard = (data: USPData) => {
    // A length that is not four is an unreplaced macro or somebody's mistake.
    if (data && data.uspString && data.uspString.length == 4) into.us_privacy = data.uspString;
    done();
  };
  if (!ask("__uspapi", "getUSPData", heard)) done();
}

/**
 * Listens to the page's TCF CMP, which may load long after us: looks every
 * 100 ms for 5 s and then every second up to 30 s. `absent` is called once, when
 * the first five seconds brought none. No stub of our own: one without a CMP
 * would keep every other script of the page waiting. Answers with a function
 * that reads the CMP anew.
 */
export function watchTCF(into: Signals, vendor: number | undefined, tell: Listener, absent: () => void): () => void {
  let looks = 0;
  let listener: number | undefined;

  const heard = (data: TCData, ok: boolean) => {
    if (!ok || !data || data.cmpStatus == "error") return tell("lost");
    listener = data.listenerId;
    into.gdpr_applies = data.gdprApplies;
    if (data.eventStatus == "cmpuishown") return tell("shown");
    const state = fromTCF(data, vendor);
    if (!state) return;
    into.tcf = data.tcString;
    into.addtl_consent = data.addtlConsent;
    settle(tell, state);
  };

  const listen = () => {
    tell("found");
    if (!ask("__tcfapi", "addEventListener", heard)) tell("lost");
  };

  const look = () => {
    if (hasTCF()) return listen();
    if (++looks == 50) absent();
    if (looks < 75) setTimeout(look, looks < 50 ? 100 : 1000);
  };
  look();

  return () => {
    if (listener === undefined) return;
    ask("__tcfapi", "removeEventListener", () => {}, listener);
    listen();
  };
}

export function hasTCF(): boolean {
  return typeof window.__tcfapi == "function";
}
