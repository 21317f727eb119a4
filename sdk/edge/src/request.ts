// A request as it goes on to the collector, now or later.

import { sign, header, type Seen } from "./sign";
import { originTimeout, type Env } from "./env";

/** The collector's own limit for a body, as it was sent and as it is unpacked. */
export const maxBody = 1 << 20;

export interface Onward {
  method: string;
  /** Path and query. */
  target: string;
  headers: [string, string][];
  body: Uint8Array<ArrayBuffer>;
  who: Seen;
}

// On the advertiser's own host the browser sends everything that it has for that
// host. The collector gets what it reads, and no other cookie than its own.
const passed = [
  "accept", "accept-language", "authorization", "content-encoding", "content-type", "origin", "referer", "sec-gpc",
  "sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "sec-ch-ua-platform-version", "sec-ch-ua-model", "sec-ch-ua-full-version-list",
  "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "user-agent", "traceparent", "access-control-request-method", "access-control-request-headers",
];

export function passedOn(from: Headers): [string, string][] {
  const out: [string, string][] = [];
  for (const name of passed) {
    const value = from.get(name);
    if (value != null) out.push([name, value]);
  }
  const own = (from.get("cookie") || "").split(/;\s*/).filter((pair) => pair.startsWith("_miq_"));
  if (own.length) out.push(["cookie", own.join("; ")]);
  return out;
}

/** Asks the collector. It throws where nobody answers in time. */
export async function ask(env: Env, onward: Onward): Promise<Response> {
  const headers = new Headers(onward.headers);
  headers.set(header, await sign(env.EDGE_KEYS, onward.who, onward.method, onward.target, onward.body, Date.now()));
  return fetch(env.ORIGIN.replace(/\/+$/, "") + onward.target, {
    method: onward.method,
    headers,
    body: onward.method == "POST" ? onward.body : undefined,
    redirect: "manual",
    signal: AbortSignal.timeout(originTimeout(env)),
  });
}

/** Whether an answer means that the collector is away. What it says itself, "busy, come back later", is no such answer. */
export const away = (answer: Response): boolean =>
  answer.status == 502 || answer.status == 504 || (answer.status >= 520 && answer.status <= 530) || (answer.status == 503 && !answer.headers.has("Retry-After"));
