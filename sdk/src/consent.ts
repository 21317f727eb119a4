// The state machine of consent: one table, no side effects. What a step entails
// (release, drop, purge) is up to the caller, who sees both ends of it.

import type { State } from "./types";

export type Phase = "no_consent" | "banner" | "checking" | "denied" | "partial" | "full" | "purge";

export type Trigger =
  | "found" // a source of signals is there
  | "shown" // the visitor is being asked
  | "answered" // the visitor has answered
  | State // the signals allow this much
  | "purged" // everything of the visitor is gone
  | "lost"; // the source failed, or did not answer in time

const table: Record<Phase, Partial<Record<Trigger, Phase>>> = {
  no_consent: { found: "checking", shown: "banner" },
  banner: { answered: "checking" },
  checking: { shown: "banner", none: "denied", partial: "partial", full: "full" },
  denied: { partial: "partial", full: "full" },
  partial: { none: "purge", full: "full" },
  full: { none: "purge", partial: "partial" },
  purge: { purged: "denied" },
};

export interface Consent {
  phase: Phase;
  /** Being asked again: what was allowed stays so, but nothing leaves until the answer. */
  hold: boolean;
}

/** The next consent; the same object where the trigger means nothing here. */
export function step(from: Consent, trigger: Trigger): Consent {
  // Whatever the phase; but a purge that has begun is carried through.
  const lost = trigger == "lost" && !/no_consent|purge/.test(from.phase);
  const to = lost ? "no_consent" : table[from.phase][trigger];
  if (to) return { phase: to, hold: false };
  const asked = trigger == "shown";
  const same = trigger == (from.phase == "denied" ? "none" : from.phase);
  return decided(from.phase) && (asked || same) && asked != from.hold ? { phase: from.phase, hold: asked } : from;
}

/** Has the visitor, or the law, answered? */
export function decided(phase: Phase): boolean {
  return /denied|partial|full/.test(phase);
}

/** What may leave the browser in a phase. */
export function allowed(phase: Phase): State {
  return phase == "full" || phase == "partial" ? phase : "none";
}

const order: State[] = ["none", "partial", "full"];

/** Of two states the one that allows less; a word we do not know allows nothing. */
export function stricter(a: State, b: State): State {
  return order[Math.min(order.indexOf(a), order.indexOf(b))] || "none";
}
