// What the edge says of a request, under a signature. The collector's half is
// modules/edge/edge.go, which says what each claim means.

import { base64url, utf8 } from "./bytes";
import { keys } from "./keys";

export const header = "X-Pixel-Edge";

/** What is known of a visitor when the request comes, and kept with it. */
export interface Seen {
  received: number;
  host: string;
  ip: string;
  country: string;
  region: string;
  city: string;
  postal_code: string;
  timezone: string;
  asn: number;
  network: string;
  gpc: boolean;
}

/** What Cloudflare tells of a request. With Global Privacy Control, no more than country and region. */
export function seen(request: Request, now: number): Seen {
  const cf = (request.cf || {}) as Partial<IncomingRequestCfProperties>;
  const gpc = request.headers.get("Sec-GPC") == "1";
  const precise = (value: unknown): string => (gpc || typeof value != "string" ? "" : value);
  return {
    received: now,
    host: new URL(request.url).host,
    ip: request.headers.get("CF-Connecting-IP") || "",
    country: typeof cf.country == "string" ? cf.country : "",
    region: typeof cf.regionCode == "string" ? cf.regionCode : "",
    city: precise(cf.city),
    postal_code: precise(cf.postalCode),
    timezone: precise(cf.timezone),
    asn: typeof cf.asn == "number" ? cf.asn : 0,
    network: precise(cf.asOrganization),
    gpc,
  };
}

/** The header for a request to the collector. */
export async function sign(setting: string, who: Seen, method: string, target: string, body: Uint8Array<ArrayBuffer>, now: number): Promise<string> {
  const [key] = await keys(setting);
  const digest = base64url(await crypto.subtle.digest("SHA-256", body));
  const claims = base64url(utf8(JSON.stringify({ at: now, ...who, method, target, body: digest })));
  const signature = await crypto.subtle.sign("HMAC", key!.sign, utf8(claims));
  return key!.id + "." + claims + "." + base64url(signature);
}
