import { parse } from "./url";

/** The click ids of advertising systems, by the query key that they arrive in. */
export const clickKeys = "gclid gbraid wbraid dclid msclkid fbclid ttclid vmcid aref".split(" ");

/** The click ids in an address. They stay in memory until consent is full. */
export function clickIDs(url: string): Record<string, string> {
  const found: Record<string, string> = {};
  const parsed = parse(url);
  for (const key of clickKeys) {
    const id = parsed && parsed.searchParams.get(key);
    // No system makes longer ones; a longer one is somebody's junk in every batch.
    if (id && id.length <= 512) found[key] = id;
  }
  return found;
}
