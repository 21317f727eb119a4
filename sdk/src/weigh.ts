// What every mode of consent does with an answer: of the source, of the site by
// `miq("consent", …)` and of the browser's opt-outs the strictest counts.

import { stricter } from "./consent";
import { fromGoogle } from "./google";
import type { ConsentUpdate, Kit, State } from "./types";

/** What the site said, as a state; what it said of Consent Mode is kept for the envelope. */
export function stateOf(said: ConsentUpdate, { signals }: Kit): State {
  if (!("gcm" in said)) return stricter(said.state, "full");
  signals.gcm = { ...signals.gcm, ...said.gcm };
  return fromGoogle(signals.gcm);
}

export function weigh(kit: Kit) {
  const { config, signals, tell } = kit;
  let decision: State | undefined;
  let ceiling: State = "full";

  const decide = (state: State) => {
    decision = state;
    const { globalPrivacyControl } = navigator;
    if (globalPrivacyControl !== undefined) signals.gpc = !!globalPrivacyControl;
    const outweighed = config.ignore_gpc_in_gdpr && signals.gdpr_applies;
    // An opt-out of sale: GPC, or a US string that says so or gave no notice.
    const out = (signals.gpc && !outweighed) || /^1(N|.Y)/i.test(signals.us_privacy || "");
    tell("found");
    tell("answered");
    tell(stricter(stricter(state, ceiling), out ? "partial" : "full"));
  };

  return {
    /** An answer of the source, whatever the phase it comes in. */
    decide,
    /** The site's own word, in a mode that is not its own: it can lower, never raise. */
    cap(said: ConsentUpdate) {
      ceiling = stateOf(said, kit);
      if (decision) decide(decision);
    },
  };
}

declare global {
  interface Navigator {
    globalPrivacyControl?: boolean;
  }
}
