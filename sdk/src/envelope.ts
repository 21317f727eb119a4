// The body of POST /collect: what a batch may carry under its state of consent.

import { context } from "./context";
import { toGoogle } from "./decide";
import { cleanContext, cleanIdentity, cleanPage, cleanProperties } from "./strip";
import type { Batch, Held, Signals, State } from "./types";

export function envelope(pixelID: string, { events, identity, state }: Batch, signals: Signals) {
  const part = state != "full";
  const around = context(events[0].page);
  return {
    pixel_id: pixelID,
    sent_at: new Date().toISOString(),
    consent: Object.assign({}, signals, { state }),
    identity: part ? cleanIdentity(identity) : identity,
    context: part ? cleanContext(around) : around,
    events: events.map((event) =>
      Object.assign({}, event, { page: undefined, properties: part ? cleanProperties(event.properties) : event.properties }),
    ),
  };
}

/** One event as the address of an image, for when nothing else gets through. */
export function pixel(endpoint: string, pixelID: string, event: Held, { identity, state }: Batch, signals: Signals): string {
  const part = state != "full";
  const page = part ? cleanPage(event.page) : event.page;
  const properties = (part ? cleanProperties(event.properties) : event.properties) || {};
  const query = new URLSearchParams();
  const add = (key: string, value: unknown) => {
    if (value !== undefined && value !== "") query.set(key, typeof value == "object" ? JSON.stringify(value) : "" + value);
  };
  add("pid", pixelID);
  add("e", event.name);
  add("eid", event.id);
  add("u", page.url);
  add("r", page.referrer);
  add("cid", identity.anonymous_id);
  add("gdpr", signals.gdpr_applies === undefined ? "" : +signals.gdpr_applies);
  add("gdpr_consent", signals.tcf);
  add("addtl_consent", signals.addtl_consent);
  add("us_privacy", signals.us_privacy);
  add("gpc", signals.gpc ? 1 : "");
  // The image has no parameter for our own conclusion, so Consent Mode says it.
  add("gcm", (state == "full" && signals.gcm) || toGoogle(state));
  const own: Record<string, string> = { value: "v", currency: "cur", order_id: "oid" };
  for (const key of Object.keys(properties)) add(own[key] || "p." + key, properties[key]);
  return endpoint + "/pixel.gif?" + query;
}
