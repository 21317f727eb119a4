// What brought the visitor: the first and the last campaign or click that led
// here, kept for 90 days where consent allows.

import { read, write } from "./store";
import type { Page, Touch, Touches } from "./types";
import { parse } from "./url";

const key = "_touch";
const enum Most {
  Age = 90 * 86_400_000,
}

/**
 * A key of a query that holds an advertising system's click id. Most say so by
 * their end (gclid, msclkid, irclickid, ScCid); that finds newcomers too.
 */
export const isClick = (key: string) => /(cl|clk|click|cc|dt_c)id$|^([gw]braid|vmcid|tblci|aref|maas|ttd_?click|li_?fat_?id|epik)$/i.test(key);

let touches: Touches = {};

/** Notes what led to a page. In memory only: `keepTouches` stores it. */
export function arrive(page: Page, time: string, more: string[] = []): void {
  const params: Touch["params"] = {};
  parse(page.url)?.searchParams.forEach((value, key) => {
    // No system makes longer ones; a longer one is somebody's junk in every batch.
    if (value && value.length < 513 && (/^utm_/.test(key) || isClick(key) || more.includes(key))) params[key.toLowerCase()] = value;
  });
  if (!Object.keys(params)[0]) return;
  const last = { time, referrer: parse(page.referrer)?.origin, params };
  touches = { first: touches.first || last, last };
}

/** The touches as they are known, stored ones included. Only where consent allows. */
export function keepTouches(full: boolean): Touches {
  let { first, last } = touches;
  const young = (touch?: Touch) => (touch && Date.parse(touch.time) > Date.now() - Most.Age ? touch : undefined);
  try {
    const stored: Touches = JSON.parse(read(key)!);
    first = young(stored.first) || first;
    last = last || young(stored.last);
  } catch {
    // There is none, or somebody else's value.
  }
  // Without full consent the campaign stays, and the click goes.
  const cut = (touch?: Touch) => touch && { ...touch, params: full ? touch.params : only(touch.params, true) };
  touches = { first: cut(first), last: cut(last) };
  if (last) write(key, JSON.stringify(touches));
  return touches;
}

const only = (params: Touch["params"], campaign: boolean) => Object.fromEntries(Object.entries(params).filter(([key]) => /^utm_/.test(key) == campaign));

/** The newest of each click id. */
export function clickIDs({ first, last }: Touches): Record<string, string> {
  return only({ ...first?.params, ...last?.params }, false);
}

export function forgetTouches(): void {
  touches = {};
}
