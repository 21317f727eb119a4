// Google Consent Mode as a site says it: `gtag("consent", "default" | "update",
// {…})` pushes its arguments onto the data layer. Past entries are read and later
// ones listened to; later ones win, signal by signal.

import type { GoogleConsent } from "../types";

const signals = ["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"] as const;

/** The signals of one entry; undefined for one that is none of consent. */
export function consentOf(entry: unknown): GoogleConsent | undefined {
  const [what, how, given] = Object(entry);
  if (what != "consent" || !/^(default|update)$/.test(how) || typeof given != "object") return;
  // A default for some regions only: we do not know where the visitor is, and what
  // it denies must not be missed; what it grants may be meant for others.
  const regional = how == "default" && given.region;
  const gcm: GoogleConsent = {};
  for (const name of signals) {
    const value = given[name];
    if (value == "denied" || (value == "granted" && !regional)) gcm[name] = value;
  }
  return gcm;
}

export function readDataLayer(name: string, heard: (gcm: GoogleConsent) => void): void {
  const world = window as never as { [name: string]: unknown[] | undefined };
  const layer = (world[name] = world[name] || []);
  const state: GoogleConsent = {};
  let told = "{}";
  let answered = false;
  const read = (entry: unknown) => {
    if (!entry || typeof entry != "object") return;
    const list = Array.from(entry as ArrayLike<unknown>);
    const gcm = consentOf(list);
    if (!gcm) return;
    Object.assign(state, gcm);
    answered = answered || list[1] == "update";
  };
  const tell = () => {
    const now = JSON.stringify(state);
    // A default that denies is no refusal yet: the visitor is about to be asked,
    // and what happens meanwhile waits in memory for the answer.
    if (now == told || !(answered || state.analytics_storage == "granted")) return;
    told = now;
    heard(Object.assign({}, state));
  };
  layer.forEach(read);
  tell();
  const push = layer.push;
  layer.push = function (...entries) {
    const length = push.apply(this, entries);
    entries.forEach(read);
    tell();
    return length;
  };
}
