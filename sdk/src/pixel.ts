// The pixel of this page: where consent, events and the way out meet.

import { drain, hold } from "./buffer";
import { loadConfig } from "./config";
import { allowed, type Consent, decided, step, type Trigger } from "./consent";
import { anonymousID, forgetTraits, forgetVisitor, known, newVisitor, knownID } from "./identity";
import { emit, fail, log } from "./notices";
import { again, currentPage, follow } from "./pages";
import { attend, depart, forgetTab, nextSeq, park, thisTab } from "./parked";
import { load, type PartName } from "./part";
import { newSender, type Sender } from "./send";
import { place, wipe, write } from "./store";
import { closeTabs, openTabs, tellTabs } from "./tabs";
import { arrive, clickIDs, forgetTouches, keepTouches } from "./touch";
import { type Transport, web } from "./transport";
import type { Config, ConsentUpdate, Held, InitOptions, Kit, Mode, Plugin, Properties, Signals, State } from "./types";
import { uuid } from "./uuid";

const signals: Signals = {};
const early: ConsentUpdate[] = []; // what the site said before its mode was there
const hooks: NonNullable<Plugin["beforeSend"]>[] = [];

let pixelID = "";
let config: Config;
let mode: Mode | undefined;
let transport: Transport;
let sender: Sender;
let consent: Consent = { phase: "no_consent", hold: false };
let quiet = false; // the change comes from another tab, which has told of it

/** Where the script came from, and the nonce that let it in. */
export const home = { origin: "", nonce: "" };

export async function init(id: string, options: InitOptions = {}): Promise<void> {
  const endpoint = (options.endpoint || home.origin).replace(/\/+$/, "");
  if (pixelID || !id || !/^https?:/.test(endpoint)) return fail("init takes an id and an endpoint, once");
  pixelID = id;
  log.debug = !!options.debug;
  signals.gdpr_applies = options.gdprApplies;
  signals.us_privacy = options.usPrivacy;
  use(options);

  const loaded = await loadConfig(endpoint, id, options.consentMode);
  if (!loaded) {
    consent = { phase: "denied", hold: false };
    drain();
    return;
  }
  config = loaded;
  const { batch = {}, consent_mode, storage, spa, autotrack, ecommerce, trace } = config;
  if (storage) place.kind = storage;
  transport = web(endpoint);
  sender = newSender({ state: open, who, signals: told, park }, transport, batch.max_events, batch.max_wait_ms, trace);
  const kit: Kit = { config, options, signals, tell, track, word, allowed: () => allowed(consent.phase) };
  const part = (name: PartName) => load(endpoint, home.nonce, name, kit);
  openTabs(heard);
  watchPage();
  if (spa != "off") follow(spa || "", track);
  if (autotrack || ecommerce || config.crosses) part("extras");
  // Where consent comes from is a part of its own; "implied" has the same sources as "cmp".
  mode = (await part(consent_mode == "implied" ? "cmp" : consent_mode)) as Mode | undefined;
  early.forEach(update);
  mode?.start();
}

export function track(name: string, props?: Properties): Held | undefined {
  if (consent.phase == "denied") return;
  // A copy: the page may go on using its object.
  const properties = props && JSON.parse(JSON.stringify(props));
  const event: Held = { id: uuid(), name, time: new Date().toISOString(), properties, page: currentPage() };
  arrive(event.page, event.time, config?.click_ids);
  for (const hook of hooks) {
    // A hook that fails may have been there to take something out.
    if (hook(event) === false) return;
  }
  if (open() != "none") enqueue(event);
  else if (!hold(event)) fail("no room for " + name);
  return event;
}

/** Adds a plugin, which may see, change and drop events. */
export function use({ beforeSend, setup }: Plugin): void {
  if (beforeSend) hooks.push(beforeSend);
  setup?.({ track });
}

/** The site's own word on consent. */
export function update(said: ConsentUpdate): void {
  if (mode) mode.set(said);
  else early.push(said);
}

export function reopen(): void {
  if (mode?.reopen) mode.reopen();
  else fail("no banner here");
}

export function reset(): void {
  // What was queued belongs to the visitor who is leaving.
  if (open() != "none") {
    sender.flush();
    newVisitor();
    write("_touch");
  }
  forgetTraits();
  forgetTouches();
}

/** What was decided; undefined while nothing was. */
export function current(): State | undefined {
  return decided(consent.phase) ? allowed(consent.phase) : undefined;
}

/** What may leave now. */
function open(): State {
  return consent.hold ? "none" : allowed(consent.phase);
}

/** Who browses, as far as consent lets us know. */
function who() {
  const touch = keepTouches(open() == "full");
  return { pixel_id: pixelID, identity: { anonymous_id: anonymousID(), click_ids: clickIDs(touch), ...known() }, touch, tab: thisTab() };
}

/** The signals as the server gets them. */
function told(): Signals {
  return { ...signals, ...mode?.told?.() };
}

function enqueue(event: Held): void {
  event.seq = nextSeq();
  sender.add(event);
}

function tell(trigger: Trigger): void {
  const from = consent;
  const to = step(from, trigger);
  if (to == from) return;
  // What was gathered under the lesser state leaves under it.
  if (from.phase == "partial" && to.phase == "full") sender.flush();
  consent = to;
  if (!to.hold) entered(to.phase, from, trigger);
}

function entered(phase: Consent["phase"], from: Consent, trigger: Trigger): void {
  if (phase == "no_consent" && trigger != "purged") {
    sender.clear(); // the decision went with its source
    if (trigger != "none") return;
    // What revoked it is there still, and has answered.
    return (["purge", "found", "none"] as const).forEach(tell);
  }
  if (phase == "purge") {
    purge();
    return tell("purged");
  }
  const state = current();
  if (!state) return;
  const held = drain();
  if (state == "none") {
    forgetTraits();
    // An id that is left from before says that consent was given once.
    if (knownID()) purge();
  } else {
    attend(sender.adopt);
    if (from.phase == "full" && phase != "full") {
      forgetTraits();
      keepTouches(false);
      sender.park();
      if (!quiet) transport.leave("/consent", word(state));
    }
    held.forEach(enqueue);
    if (from.hold) sender.flush();
  }
  if (from.phase == phase) return;
  if (!quiet) tellTabs(state);
  emit("consent", { state });
}

/** Nothing of the visitor stays in the browser, and the server is told. */
function purge(): void {
  sender.clear();
  const id = knownID();
  if (id && !quiet) transport.leave("/consent", word("none", id));
  forgetVisitor();
  forgetTouches();
  forgetTab();
  wipe();
}

/** Who browses under which signals, in short. The server is told by it of a change, which has to arrive even if the page closes right now. */
function word(state: State, id = anonymousID()): string {
  return JSON.stringify({ pixel_id: pixelID, anonymous_id: id, ...told(), state });
}

function watchPage(): void {
  // Phones often say no more than "hidden" before they kill a page; desktops
  // may say only "pagehide". Flushing is idempotent, so both may come.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState == "hidden") sender.flush(true);
  });
  addEventListener("pagehide", () => {
    drain();
    sender.flush(true);
    closeTabs();
    depart();
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    openTabs(heard);
    heard();
    if (open() != "none") attend(sender.adopt);
    again(track);
  });
}

/** Another tab has withdrawn, or may know better than we do. */
function heard(state?: State): void {
  quiet = true;
  if (state == "none") tell(state);
  else mode?.reread();
  quiet = false;
}
