// The worker that stands in front of the collector on the advertiser's own host.

import { problem } from "./answers";
import { cached } from "./cached";
import { count, type Env } from "./env";
import { forward } from "./forward";

export { Outbox } from "./outbox";

const served = /^\/(sdk\.(js|mjs|d\.ts)|[a-z]+\.js|sdk\/[\w./-]+|config\/[\w.:-]+\.json)$/;
const passed = /^\/(collect|consent|crossing|pixel\.gif|v1\/[\w/-]+)$/;

export default {
  async fetch(request, env, ctx): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const prefix = (env.PREFIX || "").replace(/\/+$/, "");
    const path = pathname.startsWith(prefix + "/") ? pathname.slice(prefix.length) : "";
    try {
      if (path == "/healthz") return health(env);
      if (served.test(path) && (request.method == "GET" || request.method == "HEAD")) return await cached(request, env, ctx, path);
      if ((passed.test(path) || served.test(path)) && ["GET", "POST", "OPTIONS"].includes(request.method)) return await forward(request, env, path + search);
    } catch (err) {
      console.error("a request could not be handled: " + err);
      return problem(500, "internal", "something went wrong at the edge");
    }
    return problem(404, "not_found", "there is nothing here");
  },
} satisfies ExportedHandler<Env>;

/** What waits for the collector; operators' monitoring asks for it. */
async function health(env: Env): Promise<Response> {
  const shards = Array.from({ length: count(env.OUTBOX_SHARDS, 8) }, (_, n) => env.OUTBOX.get(env.OUTBOX.idFromName("outbox-" + n)).waiting());
  const all = await Promise.all(shards);
  return Response.json(
    {
      status: "ok",
      waiting: all.reduce((sum, one) => sum + one.requests, 0),
      oldest_s: Math.max(0, ...all.map((one) => (one.oldest == null ? 0 : (Date.now() - one.oldest) / 1000))),
      bytes: all.reduce((sum, one) => sum + one.bytes, 0),
    },
    { headers: { "Cache-Control": "no-store" } },
  );
}
