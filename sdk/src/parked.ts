// Batches that could not be delivered outlive their page: they are parked in
// storage, each tab's under a key of its own, and whoever finds the tab gone
// adopts them. A lock that the tab holds while it lives says whether it is gone,
// so no two tabs ever send the same batch.

import { storable } from "./envelope";
import { keys, place, read, write } from "./store";
import type { Batch } from "./types";
import { uuid } from "./uuid";

const prefix = "_q.";
const tabKey = "_tab";
const enum Most {
  Events = 200,
  Age = 86_400_000,
}

let tab = "";
let seq = 0;
let release: (() => void) | undefined;

/** The tab that this page is in. Only where consent allows storage. */
export function thisTab(): string {
  if (!tab) {
    const [id, last] = (read(tabKey, "sessionStorage") || uuid()).split(" ");
    tab = id;
    seq = +last || 0;
  }
  return tab;
}

/** The number of the tab's next event. */
export function nextSeq(): number {
  const now = thisTab() + " " + ++seq;
  if (place.kind != "none") write(tabKey, now, "sessionStorage");
  return seq;
}

/** Parks what waits, in place of what was parked: the newest 200 events at most. */
export function park(batches: Batch[]): void {
  if (!release) return;
  let room: number = Most.Events;
  const kept = batches.filter(({ envelope }) => (room -= envelope.events.length) >= 0);
  write(prefix + tab, kept[0] && JSON.stringify(kept.map(({ envelope, state, made }) => ({ envelope: storable(envelope, state), state, made }))));
}

/** Takes part: holds the tab's lock, and hands over the batches of tabs that are gone. */
export function attend(take: (batch: Batch) => void): void {
  // Only a secure page has locks; elsewhere nothing is parked.
  if (release || place.kind != "localStorage" || !navigator.locks) return;
  release = () => {};
  const lock = (key: string, act: (lock: unknown) => unknown) => navigator.locks.request("_miq" + key, { ifAvailable: true }, act as () => void);
  const adopt = (key: string) => {
    const text = read(key);
    write(key);
    try {
      for (const batch of JSON.parse(text!)) if (Date.now() - batch.made < Most.Age) take({ ...batch, tries: 1 });
    } catch {
      // There is nothing, or somebody else's value.
    }
  };
  const own = prefix + thisTab();
  lock(own, (mine) => {
    if (!mine) {
      // A copy of a tab that lives: its storage came along, its name may not.
      tab = uuid();
      seq = 0;
      release = undefined;
      return attend(take);
    }
    // Our own first: a page before this one in the tab may have left it.
    adopt(own);
    for (const key of keys(prefix)) if (key != own) lock(key, (free) => free && adopt(key));
    return new Promise<void>((done) => (release = done));
  });
}

/** Lets go, so that a page can rest in the back/forward cache. */
export function depart(): void {
  release?.();
  release = undefined;
}

export function forgetTab(): void {
  depart();
  tab = "";
}
