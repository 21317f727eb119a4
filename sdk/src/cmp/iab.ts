// The IAB's sources: TCF, GPP and the US privacy string. Raw strings are kept for
// the envelope; what they allow is told once every source that is there has
// answered, and the strictest counts.

import { stricter } from "../consent";
import { fromGPP, fromTCF, type TCData } from "./decide";
import type { Listener, Signals, State } from "../types";

export type API = (command: string, ...args: unknown[]) => unknown;

/** As much of a GPP platform's ping as we read. */
interface Ping {
  cmpStatus?: string;
  signalStatus?: string;
  gppString?: string;
  applicableSections?: number[];
  parsedSections?: { [prefix: string]: unknown };
}

/** Consent functions that were found in other frames. */
export const apis: { [name: string]: API | undefined } = {};

/** Looked up at each call, since a CMP replaces its stub. */
export function api(name: string): API | undefined {
  const own = (window as never as typeof apis)[name];
  return typeof own == "function" ? own : apis[name];
}

/**
 * Listens to the page's CMP, which may load long after us: looks every 100 ms
 * for 5 s and then every second up to 30 s. `absent` is called once, when the
 * first five seconds brought none. No stub of our own: one without a CMP would
 * keep every other script of the page waiting. Answers with a function that
 * reads the CMP anew, and says whether there is one.
 */
export function watchIAB(into: Signals, vendor: number | undefined, tell: Listener, decide: (state: State) => void, absent: () => void): () => boolean {
  // What each source that is there has said; undefined while it has not.
  const said: { [name: string]: State | undefined } = {};
  let tcfListener: number | undefined;
  let looks = 0;

  const hear = (name: string, state?: State) => {
    said[name] = state;
    const all = Object.values(said);
    if (all.includes(undefined)) return;
    decide((all as State[]).reduce(stricter));
  };

  const tcf = (data?: TCData, ok?: boolean) => {
    if (!ok || !data || data.cmpStatus == "error") return tell("lost");
    tcfListener = data.listenerId;
    into.gdpr_applies = data.gdprApplies;
    if (data.eventStatus == "cmpuishown") return tell("shown");
    const state = fromTCF(data, vendor);
    if (!state) return;
    into.tcf = data.tcString;
    into.addtl_consent = data.addtlConsent;
    hear("tcf", state);
  };

  const gpp = (ping?: Ping) => {
    if (ping?.cmpStatus == "error") return tell("lost");
    if (ping?.signalStatus != "ready") return;
    into.gpp = ping.gppString;
    into.gpp_sid = ping.applicableSections;
    hear("gpp", fromGPP(ping.parsedSections, ping.applicableSections, vendor));
  };

  const ping = (call: API) => {
    // Version 1.0 and many stubs answer by value and never call back.
    const now = call("ping", gpp);
    if (now) gpp(now as Ping);
  };

  const listen: { [name: string]: (call: API) => unknown } = {
    tcf: (call) => call("addEventListener", 2, tcf),
    gpp: (call) => {
      call("addEventListener", ({ eventName, data, pingData }: { eventName?: string; data?: unknown; pingData?: Ping } = {}) => {
        // About to change: what it says until it is ready again is old.
        if (eventName == "signalStatus" && data != "ready") tell("shown");
        else gpp(pingData);
      }, undefined, undefined, "1.1");
      ping(call);
    },
  };
  const start = (name: string) => {
    said[name] = undefined;
    tell("found");
    try {
      listen[name](api("__" + (name == "tcf" ? "tcfapi" : name))!);
    } catch {
      tell("lost");
    }
  };

  const look = () => {
    if (api("__tcfapi") && !("tcf" in said)) start("tcf");
    if (api("__gpp") && !("gpp" in said)) start("gpp");
    if (++looks == 50 && !Object.keys(said)[0]) absent();
    if (looks < 75) setTimeout(look, looks < 50 ? 100 : 1000);
  };
  look();

  return () => {
    if (tcfListener !== undefined) {
      api("__tcfapi")!("removeEventListener", 2, () => {}, tcfListener);
      start("tcf");
    }
    if ("gpp" in said) ping(api("__gpp")!);
    return !!Object.keys(said)[0];
  };
}
