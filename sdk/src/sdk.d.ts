// The public types, kept by hand: `go generate` copies this file to
// dist/sdk.d.ts as it is, and the implementation is checked against it.

/** How far a visitor's consent goes. */
export type State = "none" | "partial" | "full";

export type ConsentMode = "cmp" | "gcm" | "banner" | "implied";

type Grant = "granted" | "denied";

/** Google Consent Mode v2; what is not set counts as denied. */
export interface GoogleConsent {
  ad_storage?: Grant;
  ad_user_data?: Grant;
  ad_personalization?: Grant;
  analytics_storage?: Grant;
}

export interface InitOptions {
  /** Where events go; by default where the script came from. */
  endpoint?: string;
  /** False where the site knows that no opt-in law applies to the visitor. */
  gdprApplies?: boolean;
  /** The US privacy string, such as "1YNN", where no API of the page gives it. */
  usPrivacy?: string;
  /** Used only when the pixel's own settings cannot be loaded. */
  consentMode?: ConsentMode;
  /** Say in the browser's console what the tag does. */
  debug?: boolean;
  /** Sees every event before it is queued; may change it, or drop it by answering false. */
  beforeSend?(event: Held): boolean | void;
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
  /** Its number in its tab; set when consent lets it be sent. */
  seq?: number;
  properties?: Properties;
  page: Page;
}

export interface Plugin {
  name?: string;
  /** As the option of `init` of that name. */
  beforeSend?(event: Held): boolean | void;
  setup?(api: { track(name: string, props?: Properties): void }): void;
}

export interface Address {
  first_name?: string;
  last_name?: string;
  street?: string;
  city?: string;
  region?: string;
  postal_code?: string;
  country?: string;
}

export interface Traits {
  user_id?: string;
  email?: string;
  phone?: string;
  email_sha256?: string;
  phone_sha256?: string;
  address?: Address;
  partner_ids?: Record<string, string>;
}

export interface Item {
  item_id?: string;
  item_name?: string;
  item_brand?: string;
  item_category?: string;
  price?: number;
  quantity?: number;
  [key: string]: unknown;
}

export interface Properties {
  [key: string]: unknown;
}

export interface Commerce extends Properties {
  value?: number;
  currency?: string;
  items?: Item[];
}

/** The standard events; declare yours by `declare module` and merging. */
export interface EventMap {
  page_view: Properties;
  view_item: Commerce;
  view_item_list: Commerce;
  select_item: Commerce;
  view_promotion: Commerce;
  select_promotion: Commerce;
  search: Properties & { search_term?: string };
  add_to_wishlist: Commerce;
  add_to_cart: Commerce;
  remove_from_cart: Commerce;
  view_cart: Commerce;
  begin_checkout: Commerce;
  add_shipping_info: Commerce;
  add_payment_info: Commerce;
  purchase: Commerce & { order_id: string; value: number; currency: string };
  refund: Commerce & { order_id: string };
  generate_lead: Commerce;
  sign_up: Properties & { method?: string };
  login: Properties & { method?: string };
  impression: Properties;
  click: Properties;
}

/** What `on` reports. A status of 0 means that the browser took the events over. */
export interface Notices {
  consent: { state: State };
  sent: { ids: string[]; status: number };
  error: { message: string };
}

export type ConsentUpdate = { state: State } | { gcm: GoogleConsent };

export function init(pixelId: string, options?: InitOptions): void;
export function page(props?: Properties): void;
export function track<M extends object = EventMap, K extends keyof M & string = keyof M & string>(name: K, props?: M[K]): void;
export function track(name: string, props?: Properties): void;
export function identify(traits: Traits): void;
export function consent(update: ConsentUpdate): void;
/** Shows the banner again, so that a visitor can change the choice. */
export function banner(): void;
/** Forgets who the visitor is, as at a logout. */
export function reset(): void;
/** Adds a plugin, which may see, change and drop events. */
export function use(plugin: Plugin): void;
export function on<K extends keyof Notices>(notice: K, fn: (detail: Notices[K]) => void): void;

/** The command queue of the snippet, `window.miq`. */
export interface Miq {
  (command: "init", pixelId: string, options?: InitOptions): void;
  (command: "page", props?: Properties): void;
  <K extends keyof EventMap>(command: "track", name: K, props?: EventMap[K]): void;
  (command: "track", name: string, props?: Properties): void;
  (command: "identify", traits: Traits): void;
  (command: "consent", update: ConsentUpdate): void;
  (command: "banner" | "reset"): void;
  (command: "use", plugin: Plugin): void;
  <K extends keyof Notices>(command: "on", notice: K, fn: (detail: Notices[K]) => void): void;
  q?: ArrayLike<unknown>[];
  version?: string;
}

declare global {
  interface Window {
    miq?: Miq;
  }
}
