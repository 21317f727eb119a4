// What the edge answers itself.

const gif = Uint8Array.from(atob("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"), (c) => c.charCodeAt(0));

/** The image that every image request gets, whatever happened. */
export const image = (): Response =>
  new Response(gif, { headers: { "Content-Type": "image/gif", "Cache-Control": "no-store" } });

/** Lets a page of another origin read what the edge answers itself; what may come in is the collector's to decide. */
export function cors(origin: string | null, answer: Response): Response {
  if (origin) {
    answer.headers.set("Access-Control-Allow-Origin", origin);
    answer.headers.set("Access-Control-Allow-Credentials", "true");
    answer.headers.set("Access-Control-Expose-Headers", "Retry-After");
    answer.headers.set("Vary", "Origin");
  }
  return answer;
}

export const problem = (status: number, code: string, detail: string): Response =>
  new Response(JSON.stringify({ type: "about:blank", status, code, detail }), {
    status,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" },
  });
