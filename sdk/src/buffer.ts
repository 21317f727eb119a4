// Events from before a decision. Memory only: storing them would be the very
// thing that consent is asked for.

import { bytes } from "./bytes";
import type { Held } from "./types";

const maxEvents = 50;
const maxBytes = 64 * 1024;

export interface Buffer {
  /** False when there is no room. */
  add(event: Held): boolean;
  /** Takes everything out, in the order in which it happened. */
  drain(): Held[];
}

/**
 * A buffer that keeps the oldest when it is full, since the first page view says
 * where the visitor came from and cannot be had again.
 */
export function newBuffer(): Buffer {
  const events: Held[] = [];
  let size = 0;
  return {
    add(event) {
      const more = bytes(JSON.stringify(event));
      if (events.length >= maxEvents || size + more > maxBytes) return false;
      size += more;
      events.push(event);
      return true;
    },
    drain() {
      size = 0;
      return events.splice(0);
    },
  };
}
