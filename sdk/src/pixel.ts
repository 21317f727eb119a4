// The pixel of this page: where consent, events and the way out meet.

import { newBuffer } from "./buffer";
import { clickIDs } from "./campaign";
import { loadConfig } from "./config";
import { allowed, type Consent, decided, step, stricter, type Trigger } from "./consent";
import { currentPage } from "./context";
import { fromGoogle, optedOut, toGoogle } from "./decide";
import { anonymousID, forgetTraits, newVisitor, who } from "./identity";
import { loadBanner } from "./lazy";
import { type Mode, modes } from "./modes";
import { emit, fail, log } from "./notices";
import { forget, report } from "./purge";
import { newSender, type Sender } from "./send";
import { gpc, readUSP } from "./signals";
import { closeTabs, openTabs, tellTabs } from "./tabs";
import { type Transport, web } from "./transport";
import type { Config, ConsentUpdate, InitOptions, Properties, Signals, State } from "./types";
import { uuid } from "./uuid";

const buffer = newBuffer();
const signals: Signals = {};
const early: ConsentUpdate[] = []; // what the site said before the settings came

let pixelID = "";
let endpoint = "";
let config: Config;
let mode: Mode | undefined;
let transport: Transport;
let sender: Sender;
let consent: Consent = { phase: "no_consent", hold: false };
let decision: State | undefined; // what the mode said last, before any cap
let ceiling: State = "full"; // what the site said, in a mode that is not its own
let quiet = false; // the change comes from another tab, which has told of it
let clicks: Record<string, string> = {};
let closeBanner = () => {};

/** Where the script came from, and the nonce that let it in. */
export const home: { origin?: string; nonce?: string } = {};

export async function init(id: string, options: InitOptions = {}): Promise<void> {
  const base = (options.endpoint || home.origin || "").replace(/\/+$/, "");
  if (pixelID || !id || !/^https?:/.test(base)) return fail("init takes an id and an endpoint, once");
  pixelID = id;
  endpoint = base;
  log.debug = !!options.debug;
  signals.gdpr_applies = options.gdprApplies;
  signals.us_privacy = options.usPrivacy;

  const loaded = await loadConfig(endpoint, id, options.consentMode);
  const make = loaded && modes[loaded.consent_mode];
  if (!make) {
    consent = { phase: "denied", hold: false };
    buffer.drain();
    return;
  }
  config = loaded;
  // Whatever the mode, a US string counts beside its answer: the stricter wins.
  readUSP(signals, () => {});
  const { max_events, max_wait_ms } = config.batch || {};
  const source = { endpoint, pixelID, state: open, identity: () => who(clicks), signals: told };
  transport = web(endpoint);
  sender = newSender(source, transport, max_events, max_wait_ms);
  mode = make({ config, options, signals, tell, ask, allowed: () => allowed(consent.phase) });
  openTabs(heard);
  watchPage();
  early.forEach(update);
  mode.start();
}

export function track(name: string, props?: Properties): void {
  if (consent.phase == "denied") return;
  if (!/^[a-z][a-z0-9_.:-]{0,63}$/i.test(name)) return fail("not an event name: " + name);
  const page = currentPage();
  clicks = Object.assign({}, clicks, clickIDs(page.url));
  // A copy: the page may go on using its object.
  const properties = props && JSON.parse(JSON.stringify(props));
  const event = { id: uuid(), name, time: new Date().toISOString(), properties, page };
  if (open() != "none") sender.add(event);
  else if (!buffer.add(event)) fail("buffer full: dropped " + name);
}

/** The site's own word on consent. */
export function update(said: ConsentUpdate): void {
  if (!mode) return void early.push(said);
  let state: State;
  if ("gcm" in said) {
    signals.gcm = Object.assign({}, signals.gcm, said.gcm);
    state = fromGoogle(signals.gcm);
  } else {
    state = stricter(said.state, "full");
    if (config.consent_mode == "banner") {
      closeBanner();
      return mode.set(state);
    }
  }
  ceiling = state;
  if (config.consent_mode == "gcm") mode.set(state);
  else if (decision) tell(decision);
}

export function reopen(): void {
  if (mode && mode.reopen) mode.reopen();
  else fail("no banner here");
}

export function reset(): void {
  // What was queued belongs to the visitor who is leaving.
  if (open() != "none") {
    sender.flush();
    newVisitor();
  }
  forgetTraits();
  clicks = {};
}

/** What was decided; undefined while nothing was. */
export function current(): State | undefined {
  return decided(consent.phase) ? allowed(consent.phase) : undefined;
}

/** What may leave now. */
function open(): State {
  return consent.hold ? "none" : allowed(consent.phase);
}

/** The signals as the server gets them. */
function told(): Signals {
  const ours = /banner|gcm/.test(config.consent_mode);
  const gcm = ours ? toGoogle(allowed(consent.phase)) : undefined;
  return Object.assign({ gcm }, signals, { gpc: gpc() });
}

function tell(trigger: Trigger): void {
  if (/none|partial|full/.test(trigger)) {
    decision = trigger as State;
    trigger = stricter(decision, ceiling);
    if (optedOut(gpc(), signals.us_privacy)) trigger = stricter(trigger, "partial");
  }
  const from = consent;
  const to = step(from, trigger);
  if (to == from) return;
  // What was gathered under the lesser state leaves under it.
  if (from.phase == "partial" && to.phase == "full") sender.flush();
  consent = to;
  if (!to.hold) entered(to.phase, from);
}

function entered(phase: Consent["phase"], from: Consent): void {
  if (phase == "no_consent") sender.clear(); // the decision went with its source
  if (phase == "purge") {
    sender.clear();
    if (!quiet) report(transport, pixelID, anonymousID(), told());
    forget();
    clicks = {};
    return tell("purged");
  }
  const state = current();
  if (!state) return;
  if (state == "none") {
    forgetTraits();
    buffer.drain();
  } else {
    if (phase == "partial" && from.phase == "full") {
      forgetTraits();
      clicks = {};
    }
    buffer.drain().forEach(sender.add);
    if (from.hold) sender.flush();
  }
  if (from.phase == phase) return;
  if (!quiet) tellTabs(state);
  emit("consent", { state });
}

async function ask(choose: (state?: State) => void): Promise<void> {
  const show = await loadBanner(endpoint, home.nonce).catch(fail);
  // The answer may have come from elsewhere while the banner loaded.
  if (!show || (decided(consent.phase) && !consent.hold)) return;
  closeBanner();
  const { privacy_url, texts } = config.banner || {};
  closeBanner = show({ current: current(), privacyURL: privacy_url, texts, choose });
}

function watchPage(): void {
  // Phones often say no more than "hidden" before they kill a page; desktops
  // may say only "pagehide". Flushing is idempotent, so both may come.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState == "hidden") sender.flush(true);
  });
  addEventListener("pagehide", () => {
    buffer.drain();
    sender.flush(true);
    closeTabs();
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    openTabs(heard);
    heard();
  });
}

/** Another tab has withdrawn, or may know better than we do. */
function heard(state?: State): void {
  quiet = true;
  if (state == "none") tell(state);
  else mode!.reread();
  quiet = false;
  if (decided(consent.phase)) closeBanner();
}

