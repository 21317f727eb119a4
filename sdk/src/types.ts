import type { Address, ConsentMode, GoogleConsent, Properties, State, Traits } from "./sdk";

export type * from "./sdk";

/** What the page said of consent, as it goes into the envelope. */
export interface Signals {
  gdpr_applies?: boolean;
  tcf?: string;
  us_privacy?: string;
  addtl_consent?: string;
  gpc?: boolean;
  gcm?: GoogleConsent;
}

export interface Page {
  url: string;
  referrer: string;
  title: string;
}

/** One event as it happened, with the page it happened on. */
export interface Held {
  id: string;
  name: string;
  time: string;
  properties?: Properties;
  page: Page;
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

export interface Context {
  page: Page;
  locale: string;
  timezone?: string;
  screen?: { width: number; height: number };
  sdk: { name: string; version: string };
}

/** Events that leave together: one page, one identity, one state of consent. */
export interface Batch {
  events: Held[];
  identity: Identity;
  state: State;
  tries: number;
  /** Handed to the browser because the page was about to go. */
  left?: boolean;
}

export interface BannerTexts {
  title?: string;
  body?: string;
  accept?: string;
  refuse?: string;
  partial?: string;
  privacy?: string;
  close?: string;
}

/** A pixel's public settings, `/config/{id}.json`. */
export interface Config {
  enabled: boolean;
  consent_mode: ConsentMode;
  tcf_vendor_id?: number;
  banner?: { privacy_url?: string; texts?: Record<string, BannerTexts> };
  batch?: { max_events?: number; max_wait_ms?: number };
}
