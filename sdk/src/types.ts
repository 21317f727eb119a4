import type { Trigger } from "./consent";
import type { Address, ConsentMode, ConsentUpdate, GoogleConsent, Held, InitOptions, Page, Properties, State, Traits } from "./sdk";

export type * from "./sdk";

/** What the page said of consent, as it goes into the envelope. */
export interface Signals {
  gdpr_applies?: boolean;
  tcf?: string;
  gpp?: string;
  gpp_sid?: number[];
  us_privacy?: string;
  addtl_consent?: string;
  gpc?: boolean;
  gcm?: GoogleConsent;
}

export interface Identity {
  anonymous_id?: string;
  user_id?: string;
  email?: string;
  phone?: string;
  email_sha256?: string;
  phone_sha256?: string;
  address?: Address;
  click_ids?: Record<string, string>;
  partner_ids?: Traits["partner_ids"];
}

/** One arrival by a campaign or a click. */
export interface Touch {
  time: string;
  /** Where from; the origin alone. */
  referrer?: string;
  /** The campaign (utm_…) and the click ids, as the query had them. */
  params: Record<string, string>;
}

export interface Touches {
  first?: Touch;
  last?: Touch;
}

export interface Context {
  page: Page;
  locale: string;
  timezone?: string;
  screen?: { width: number; height: number };
  sdk: { name: string; version: string };
  touch?: Touches;
  tab?: string;
}

/** Who sends: what the envelopes of one moment have in common. */
export interface Sender {
  pixel_id: string;
  identity: Identity;
  touch?: Touches;
  tab?: string;
}

/** The body of POST /collect, but for what is known only when it leaves. */
export interface Envelope {
  pixel_id: string;
  identity: Identity;
  context: Context;
  events: Omit<Held, "page">[];
}

/** Events that leave together: one page, one identity, one state of consent. */
export interface Batch {
  envelope: Envelope;
  state: State;
  made: number;
  tries: number;
  /** Handed to the browser because the page was about to go. */
  left?: boolean;
}

export interface BannerTexts {
  title?: string;
  body?: string;
  accept?: string;
  refuse?: string;
  settings?: string;
  save?: string;
  back?: string;
  necessary?: string;
  necessary_about?: string;
  analytics?: string;
  analytics_about?: string;
  advertising?: string;
  advertising_about?: string;
  always?: string;
  privacy?: string;
  close?: string;
  reopen?: string;
}

/** A pixel's public settings, `/config/{id}.json`. */
export interface Config {
  enabled: boolean;
  consent_mode: ConsentMode;
  tcf_vendor_id?: number;
  ignore_gpc_in_gdpr?: boolean;
  banner?: {
    privacy_url?: string;
    /** The language where the visitor's own has no texts. */
    language?: string;
    texts?: Record<string, BannerTexts>;
    /** No button of ours to open it again: the site has a link. */
    hide_reopen?: boolean;
  };
  batch?: { max_events?: number; max_wait_ms?: number };
  /** "off", "hash" (a new fragment is a new page), or else by path and query. */
  spa?: string;
  autotrack?: string[];
  ecommerce?: boolean;
  data_layer?: string;
  click_ids?: string[];
  /** The domains that the visitor is followed across. */
  crosses?: string[];
  storage?: "localStorage" | "sessionStorage" | "none";
  /** The share of requests that begin a trace. */
  trace?: number;
}

/** What a consent mode and the parts are given. */
export interface Kit {
  config: Config;
  options: InitOptions;
  signals: Signals;
  tell: Listener;
  track(name: string, props?: Properties): void;
  /** What was allowed last. */
  allowed(): State;
  /** Who browses under which signals, as the server is told it in short. */
  word(state: State): string;
}

export interface Listener {
  (news: Trigger): void;
}

export interface Mode {
  start(): void;
  /** The site's own word. */
  set(said: ConsentUpdate): void;
  /** Another tab, or the time that the page rested, may have changed the answer. */
  reread(): void;
  /** Signals that follow from what is allowed. */
  told?(): Signals;
  /** Asks the visitor again; missing where the banner is not ours. */
  reopen?(): void;
}
