// Events on their way to the collector, and what becomes of them while it is
// away.

import { cors, image, problem } from "./answers";
import { readUpTo } from "./bytes";
import type { Env } from "./env";
import { keep } from "./keep";
import { ask, away, maxBody, passedOn, type Onward } from "./request";
import { seen } from "./sign";

export async function forward(request: Request, env: Env, target: string): Promise<Response> {
  const who = seen(request, Date.now());
  const body = await readUpTo(request.method == "POST" ? request.body : null, maxBody);
  if (!body) return problem(413, "too_large", "the body must be at most " + maxBody + " bytes; send fewer events at once");
  const onward: Onward = { method: request.method, target: named(request.method, target), headers: passedOn(request.headers), body, who };
  let answer: Response | undefined;
  try {
    answer = await ask(env, onward);
    if (!away(answer)) return new Response(answer.body, answer);
  } catch (err) {
    console.warn("the collector does not answer: " + err);
  }
  return (await keep(env, onward)) || answer || unreachable(request);
}

/** An image request that names no event gets a name here, so that a copy which is sent again later is known for one. */
function named(method: string, target: string): string {
  if (method != "GET" || !target.startsWith("/pixel.gif")) return target;
  const url = new URL(target, "https://edge.invalid");
  if (!url.searchParams.get("eid")) url.searchParams.set("eid", crypto.randomUUID());
  return url.pathname + url.search;
}

function unreachable(request: Request): Response {
  if (request.method == "GET") return image();
  const answer = problem(503, "unreachable", "the collector does not answer, and this cannot be kept for it; send it again later");
  answer.headers.set("Retry-After", "30");
  return cors(request.headers.get("Origin"), answer);
}
