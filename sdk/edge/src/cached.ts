// The tag and the pixels' settings, from Cloudflare's cache. Addresses that name a
// version never change. Of all others the cache keeps the version that the
// collector calls its ETag: it is asked soon whether that is still the one, and
// a new one takes the old one's place. While the collector is away, the last
// one known goes on.

import { problem } from "./answers";
import { originTimeout, type Env } from "./env";

interface Life {
  /** Served without asking, in ms. */
  fresh: number;
  /** Served while the collector is asked behind the visitor's back, in ms. */
  stale: number;
  /** What browsers are told, where it is not what the collector tells. */
  browser?: string;
}

// What an admin changes in the console is in force within ten seconds: 1 until
// all collectors know it, 6 here, 2 in the browser.
const settings: Life = { fresh: 3_000, stale: 6_000, browser: "public, max-age=2" };
const tag: Life = { fresh: 60_000, stale: 300_000 };
const immutable: Life = { fresh: Infinity, stale: Infinity };

const life = (path: string): Life =>
  path.startsWith("/config/") ? settings : path.startsWith("/sdk/") ? immutable : tag;

const fetchedAt = "X-Edge-Fetched";
const forOthers = "X-Edge-Cache-Control";

export async function cached(request: Request, env: Env, ctx: ExecutionContext, path: string): Promise<Response> {
  const l = life(path);
  const key = new URL(request.url).origin + path; // queries name nothing here
  const known = await caches.default.match(key);
  const age = known ? Date.now() - Number(known.headers.get(fetchedAt)) : Infinity;
  if (known && age <= l.stale) {
    if (age > l.fresh) ctx.waitUntil(refresh(env, path, key, known.clone()).catch(() => undefined));
    return answer(request, known, l);
  }
  try {
    return answer(request, await refresh(env, path, key, known?.clone()), l);
  } catch (err) {
    console.warn("the collector does not answer: " + err);
    return known ? answer(request, known, l) : problem(503, "unreachable", "the collector does not answer");
  }
}

/** Asks the collector for a newer version and returns what is in force. It throws where the collector is away. */
async function refresh(env: Env, path: string, key: string, known?: Response): Promise<Response> {
  const etag = known?.headers.get("ETag");
  const res = await fetch(env.ORIGIN.replace(/\/+$/, "") + path, {
    headers: etag ? { "If-None-Match": etag } : {},
    signal: AbortSignal.timeout(originTimeout(env)),
  });
  if (res.status >= 500) throw new Error("status " + res.status);
  if (res.status == 304 && known) {
    await store(key, known);
    return known.clone();
  }
  if (!res.ok) {
    // A pixel that was deleted must not live on here.
    await caches.default.delete(key);
    return new Response(res.body, res);
  }
  const fresh = new Response(await res.arrayBuffer(), { headers: { "Content-Type": res.headers.get("Content-Type") || "" } });
  for (const name of ["ETag", "Access-Control-Allow-Origin", "Cross-Origin-Resource-Policy", "X-Content-Type-Options"]) {
    const value = res.headers.get(name);
    if (value) fresh.headers.set(name, value);
  }
  fresh.headers.set(forOthers, res.headers.get("Cache-Control") || "no-cache");
  await store(key, fresh);
  return fresh;
}

/** Puts a version into the cache as of now. */
async function store(key: string, version: Response): Promise<void> {
  const kept = new Response(version.clone().body, version);
  kept.headers.set(fetchedAt, String(Date.now()));
  kept.headers.set("Cache-Control", "public, max-age=604800"); // how long it may stand in for the collector
  await caches.default.put(key, kept);
}

function answer(request: Request, version: Response, l: Life): Response {
  const out = new Response(version.body, version);
  const others = out.headers.get(forOthers);
  if (others) out.headers.set("Cache-Control", l.browser || others);
  for (const name of [fetchedAt, forOthers, "CF-Cache-Status", "Age"]) out.headers.delete(name);
  const etag = out.headers.get("ETag");
  if (out.ok && etag && (request.headers.get("If-None-Match") || "").split(/\s*,\s*/).some((known) => known.replace(/^W\//, "") == etag.replace(/^W\//, ""))) {
    return new Response(null, { status: 304, headers: out.headers });
  }
  return out;
}
