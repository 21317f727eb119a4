import type { Notices } from "./types";

type Name = keyof Notices;
type Handler<K extends Name> = (detail: Notices[K]) => void;

const handlers: [Name, Handler<never>][] = [];

/** With `debug` the browser's console hears of everything as well. */
export const log: { debug?: boolean } = {};

/** Calls `fn` at every such notice. */
export function listen<K extends Name>(notice: K, fn: Handler<K>): void {
  handlers.push([notice, fn]);
}

/** Tells whoever listens what happened. */
export function emit<K extends Name>(notice: K, detail: Notices[K]): void {
  if (log.debug) console.log("[miq]", notice, detail);
  for (const [name, fn] of handlers) {
    try {
      if (name == notice) fn(detail as never);
    } catch (err) {
      // The page's own fault, shown as such; our work goes on.
      console.error(err);
    }
  }
}

/** Takes messages and whatever was thrown. */
export function fail(why: unknown): void {
  emit("error", { message: "" + why });
}

