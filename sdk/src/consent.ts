// The state machine of consent: one table, no side effects. What a step entails
// (release, drop, purge) is up to the caller, who sees both ends of it.

import type { State } from "./types";

export type Phase = "no_consent" | "banner" | "checking" | "denied" | "partial" | "full" | "purge";

export type Trigger =
  | "found" // a source of signals is there, such as a CMP
  | "shown" // the visitor is being asked
  | "answered" // the visitor has answered
  | State // the signals allow this much
  | "purge" // consent was revoked: everything of the visitor has to go
  | "purged" // it is gone
  | "lost"; // the source failed, or did not answer in time

/**
 * Every move there is; a trigger that a phase does not name means nothing in it.
 * Who has answered stays where he is while he is asked again, and by saying the
 * same again.
 */
export const table: Record<Phase, Partial<Record<Trigger, Phase>>> = {
  no_consent: { found: "checking", shown: "banner", purge: "purge" },
  banner: { answered: "checking", lost: "no_consent" },
  checking: { shown: "banner", none: "denied", partial: "partial", full: "full", lost: "no_consent" },
  denied: { shown: "denied", none: "denied", partial: "partial", full: "full", lost: "no_consent" },
  partial: { shown: "partial", none: "no_consent", partial: "partial", full: "full", lost: "no_consent" },
  full: { shown: "full", none: "no_consent", partial: "partial", full: "full", lost: "no_consent" },
  purge: { purged: "no_consent" },
};

export interface Consent {
  phase: Phase;
  /** Being asked again: what was allowed stays so, but nothing leaves until the answer. */
  hold: boolean;
}

/** The next consent; the same object where nothing changes. */
export function step(from: Consent, trigger: Trigger): Consent {
  const phase = table[from.phase][trigger];
  if (!phase) return from;
  const hold = phase == from.phase && trigger == "shown";
  return phase == from.phase && hold == from.hold ? from : { phase, hold };
}

/** Has the visitor, or the law, answered? */
export function decided(phase: Phase): boolean {
  return /denied|partial|full/.test(phase);
}

/** What may leave the browser in a phase. */
export function allowed(phase: Phase): State {
  return /partial|full/.test(phase) ? (phase as State) : "none";
}

const order: State[] = ["none", "partial", "full"];

/** Of two states the one that allows less; a word we do not know allows nothing. */
export function stricter(a: State, b: State): State {
  return order[Math.min(order.indexOf(a), order.indexOf(b))] || "none";
}
