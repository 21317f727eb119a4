// The body of POST /collect: what a batch may carry under its state of consent.

import { context } from "./context";
import { cleanPage, cleanProperties } from "./strip";
import type { Envelope, Held, Sender, Signals, State } from "./types";

/** Puts events of one page together. */
export function wrap({ touch, tab, ...rest }: Sender, events: Held[]): Envelope {
  return {
    ...rest,
    context: { ...context(events[0].page), touch, tab },
    events: events.map(({ page, ...event }) => event),
  };
}

/**
 * The same without the visitor's own things, as partial consent wants it: who
 * browses but not who that is, and nothing that helps to recognise a device.
 */
export function strip({ pixel_id, identity: { anonymous_id }, context: { page, locale, sdk, touch, tab }, events }: Envelope): Envelope {
  return {
    pixel_id,
    identity: { anonymous_id },
    context: { page: cleanPage(page), locale, sdk, touch: cleanProperties(touch), tab },
    events: cleanProperties(events),
  };
}

/** What an envelope may be stored as: without personal data in plain text. */
export function storable(envelope: Envelope, state: State): Envelope {
  const { anonymous_id, click_ids } = envelope.identity;
  return state == "full" ? { ...envelope, identity: { anonymous_id, click_ids } } : strip(envelope);
}

export function body(envelope: Envelope, state: State, signals: Signals): string {
  return JSON.stringify({ ...(state == "full" ? envelope : strip(envelope)), sent_at: new Date().toISOString(), consent: { ...signals, state } });
}
