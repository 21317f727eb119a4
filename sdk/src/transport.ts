// The three ways out of a page: fetch while it lives, sendBeacon when it goes,
// an image when the browser refuses both.

import { bytes } from "./bytes";

/**
 * What one keepalive request may weigh. Browsers let a page have 64 KiB of them
 * in flight, beacons included, and refuse what goes over.
 */
export const maxBody = 60_000;
const enum Most {
  Flying = 65_536,
  URL = 8_000,
}

export interface Answer {
  status: number;
  /** How long the server asked us to wait, in milliseconds. */
  wait: number;
  /** What became of each event. */
  results?: { id?: string; status?: string; code?: string; message?: string }[];
}

export interface Transport {
  /** Sends while the page lives. Rejects when the network fails. */
  post(path: string, body: string): Promise<Answer>;
  /** Sends though the page may be gone next moment; `otherwise` if the browser will not take it. */
  leave(path: string, body: string, otherwise?: () => void): void;
  /** The last resort; what is too long for an address is not cut but dropped. */
  image(body: string): void;
}

export function web(endpoint: string): Transport {
  let flying = 0;

  /** The part of the budget that a body needs; 0 where there is not that much left. */
  const share = (body: string) => {
    const size = bytes(body);
    return flying + size > Most.Flying ? 0 : size;
  };

  // A string goes as text/plain, which needs no preflight: a closing page could
  // not wait for one.
  const send = async (path: string, body: string, size: number): Promise<Answer> => {
    flying += size;
    try {
      const answer = await fetch(endpoint + path, {
        method: "POST",
        body,
        keepalive: !!size,
        credentials: "include",
      });
      const { results } = await answer.json().catch(() => ({}));
      return { status: answer.status, wait: retryAfter(answer.headers.get("Retry-After")), results };
    } finally {
      flying -= size;
    }
  };

  return {
    post: (path, body) => send(path, body, share(body)),
    leave(path, body, otherwise = () => {}) {
      const size = share(body);
      if (navigator.sendBeacon?.(endpoint + path, body)) {
        // Nobody tells when a beacon has left; meanwhile it takes its share.
        flying += size;
        setTimeout(() => (flying -= size), 5000);
      } else if (size) send(path, body, size).catch(otherwise);
      else otherwise();
    },
    image(body) {
      const url = endpoint + "/pixel.gif?d=" + encodeURIComponent(body);
      if (url.length <= Most.URL) new Image().src = url;
    },
  };
}

/** Retry-After in milliseconds, given as seconds or as a date; 0 where there is none. */
export function retryAfter(value: string | null, now = Date.now()): number {
  return Math.max(0, +value! * 1000 || Date.parse(value!) - now || 0);
}
