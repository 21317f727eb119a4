// A clock that stands still until a test moves it. Node's own differs between the
// versions that people have.

let now = 0;
let last = 0;
let waiting: { at: number; fn: () => void; id: number }[] = [];

/** Moves the time on, and runs what was due on the way, in order. */
export function tick(ms: number): void {
  const end = now + ms;
  for (;;) {
    const due = waiting.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at || a.id - b.id)[0];
    if (!due) break;
    clearTimeout(due.id);
    now = due.at;
    due.fn();
  }
  now = end;
}

/** Forgets what a test before this one left waiting. */
export function stopClock(): void {
  waiting = [];
  globalThis.setTimeout = ((fn: () => void, ms = 0) => {
    waiting.push({ at: now + ms, fn, id: ++last });
    return last;
  }) as typeof setTimeout;
  globalThis.clearTimeout = ((id: number) => {
    waiting = waiting.filter((timer) => timer.id !== id);
  }) as typeof clearTimeout;
}
