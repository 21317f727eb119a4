// What may be kept at the edge while the collector is away, and the answer to it.
// The collector decides on consent when it gets it; until then the edge keeps
// only what says itself that the visitor agreed, and any withdrawal. Doubt means
// that it is sent again later by whoever sent it.

import { cors, image } from "./answers";
import { readUpTo } from "./bytes";
import { count, type Env } from "./env";
import { maxBody, type Onward } from "./request";

interface Envelope {
  consent?: { state?: unknown };
  state?: unknown;
  events?: { id?: unknown }[];
}

export async function keep(env: Env, onward: Onward): Promise<Response | undefined> {
  const answer = await keepable(onward);
  if (!answer) return undefined;
  const shard = Math.floor(Math.random() * count(env.OUTBOX_SHARDS, 8));
  try {
    const kept = await env.OUTBOX.get(env.OUTBOX.idFromName("outbox-" + shard)).put(onward);
    if (!kept) return undefined;
  } catch (err) {
    console.error("the outbox does not take a request: " + err);
    return undefined;
  }
  return cors(onward.headers.find(([name]) => name == "origin")?.[1] || null, answer);
}

/** The answer that a kept request gets; none where it may not be kept. */
async function keepable(onward: Onward): Promise<Response | undefined> {
  const url = new URL(onward.target, "https://edge.invalid");
  if (url.pathname == "/pixel.gif" && onward.method == "GET") return agreed(url.searchParams) ? image() : undefined;
  if (onward.method != "POST" || (url.pathname != "/collect" && url.pathname != "/consent")) return undefined;
  const envelope = await read(onward);
  if (!envelope) return undefined;
  if (url.pathname == "/consent") return accepted({});
  if (envelope.consent?.state != "full" && envelope.consent?.state != "partial") return undefined;
  // Without ids of their own, events that the collector took just before the
  // line broke would count twice.
  const ids = Array.isArray(envelope.events) ? envelope.events.map((event) => event?.id) : [];
  if (!ids.length || !ids.every((id) => typeof id == "string" && id)) return undefined;
  return accepted({ accepted: ids.length, rejected: 0, results: ids.map((id, index) => ({ index, id, status: "accepted" })) });
}

/** An image request carries consent only as the site's signals. */
const agreed = (p: URLSearchParams): boolean => ["gdpr_consent", "gpp", "us_privacy", "gcm"].some((name) => p.get(name)) || p.get("gdpr") == "0";

async function read(onward: Onward): Promise<Envelope | undefined> {
  try {
    let body: Uint8Array<ArrayBuffer> | undefined = onward.body;
    if (onward.headers.some(([name, value]) => name == "content-encoding" && value == "gzip"))
      body = await readUpTo(new Response(body).body!.pipeThrough(new DecompressionStream("gzip")), maxBody);
    const envelope: unknown = JSON.parse(new TextDecoder().decode(body));
    return typeof envelope == "object" && envelope ? (envelope as Envelope) : undefined;
  } catch {
    return undefined; // the collector would refuse it
  }
}

const accepted = (body: object): Response =>
  new Response(JSON.stringify(body), { status: 202, headers: { "Content-Type": "application/json", "Cache-Control": "no-store", "X-Pixel-Kept": "edge" } });
