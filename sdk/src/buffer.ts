// Events from before a decision. Memory only: storing them would be the very
// thing that consent is asked for.

import { bytes } from "./bytes";
import type { Held } from "./types";

const enum Most {
  Events = 50,
  Bytes = 65_536,
}

let events: Held[] = [];
let size = 0;

/**
 * Keeps an event; false when there is no room. The oldest stay, since the first
 * page view says where the visitor came from and cannot be had again.
 */
export function hold(event: Held): boolean {
  const more = bytes(JSON.stringify(event));
  if (events.length == Most.Events || size + more > Most.Bytes) return false;
  size += more;
  events.push(event);
  return true;
}

/** Takes everything out, in the order in which it happened. */
export function drain(): Held[] {
  size = 0;
  return events.splice(0);
}
