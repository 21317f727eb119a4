import { bytes } from "./bytes";

/**
 * Cuts a list into runs that each fit into `max` bytes, `overhead` included, and
 * share one key. An item that is too big by itself travels alone.
 */
export function split<T>(items: T[], max: number, overhead: number, key: (item: T) => string): T[][] {
  const runs: T[][] = [];
  let size = 0;
  let last: string | undefined;
  for (const item of items) {
    const own = bytes(JSON.stringify(item)) + 1;
    const run = key(item);
    if (!runs.length || run != last || size + own > max) {
      runs.push([]);
      size = overhead;
      last = run;
    }
    size += own;
    runs[runs.length - 1].push(item);
  }
  return runs;
}
