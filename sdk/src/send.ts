// Batching and retries. A batch keeps the state of consent and the identity it
// was made under; by the time it leaves it may carry less, never more.

import { bytes } from "./bytes";
import { stricter } from "./consent";
import { envelope, pixel } from "./envelope";
import { emit, fail } from "./notices";
import { split } from "./split";
import { maxBody, type Transport } from "./transport";
import type { Batch, Held, Identity, Signals, State } from "./types";

const urgent = /^(purchase|generate_lead|sign_up)$/;
const maxTries = 10;
const maxWaiting = 20; // batches, of ten events as a rule

export interface Source {
  endpoint: string;
  pixelID: string;
  /** What may leave now; "none" also while the visitor is being asked again. */
  state(): State;
  identity(): Identity;
  signals(): Signals;
}

export interface Sender {
  add(event: Held): void;
  /** Sends what is queued. `leaving`: the page may be gone next moment. */
  flush(leaving?: boolean): void;
  /** Forgets everything, the answers to requests in flight included. */
  clear(): void;
}

export function newSender(source: Source, transport: Transport, max = 10, wait = 2000): Sender {
  type Timer = ReturnType<typeof setTimeout>;
  let queue: Held[] = [];
  let timer: Timer | undefined;
  let era = 0;
  const waiting = new Map<Batch, Timer>();

  const open = () => source.state() != "none";
  const ids = (batch: Batch) => batch.events.map((event) => event.id);
  /** The batch as it may leave now. */
  const cut = (batch: Batch): Batch =>
    Object.assign({}, batch, { state: stricter(batch.state, source.state()) });
  const body = (batch: Batch) => JSON.stringify(envelope(source.pixelID, cut(batch), source.signals()));

  const take = (): Batch[] => {
    const events = queue;
    queue = [];
    if (!events.length) return [];
    const state = source.state();
    const identity = source.identity();
    const make = (events: Held[]): Batch => ({ events, identity, state, tries: 0 });
    // A consent string alone may weigh 16 KB. The page is counted with each
    // event; the rest of an envelope stays well under the thousand.
    const overhead = 1000 + bytes(JSON.stringify([identity, source.signals()]));
    return split(events, maxBody, overhead, (event) => JSON.stringify(event.page)).map(make);
  };

  const post = async (batch: Batch) => {
    const started = era;
    waiting.delete(batch);
    batch.tries++;
    batch.left = false;
    try {
      const { status, wait } = await transport.post("/collect", body(batch));
      if (started != era) return;
      if (status == 429 || status >= 500) return retry(batch, wait, status);
      if (status >= 400) fail("refused with " + status);
      emit("sent", { ids: ids(batch), status });
    } catch (err) {
      if (started == era) retry(batch, 0, err);
    }
  };

  const retry = (batch: Batch, wait: number, why: unknown) => {
    if (batch.tries >= maxTries || waiting.size >= maxWaiting) return fail("gave up: " + why);
    // Jitter keeps the pages that one outage stopped from coming back as one.
    const backoff = Math.min(60_000, 500 * 2 ** batch.tries) * (0.5 + Math.random() / 2);
    const again = () => (open() ? post(batch) : retry(batch, wait, why));
    waiting.set(batch, setTimeout(again, Math.max(wait, backoff)));
  };

  const leave = (batch: Batch) => {
    // Hiding and leaving both come when a tab is closed; once is enough.
    if (batch.left) return;
    batch.left = true;
    if (!transport.leave("/collect", body(batch))) {
      const now = cut(batch);
      batch.events.forEach((event) => transport.image(pixel(source.endpoint, source.pixelID, event, now, source.signals())));
    }
    emit("sent", { ids: ids(batch), status: 0 });
  };

  const flush = (leaving?: boolean) => {
    clearTimeout(timer);
    timer = undefined;
    if (!open()) return;
    const batches = take();
    if (!leaving) return batches.forEach(post);
    // What waits for a retry goes along. Should the page live on, it is tried
    // again all the same: the event ids make a repeat harmless.
    batches.forEach(leave);
    waiting.forEach((_, batch) => leave(batch));
  };

  return {
    add(event) {
      queue.push(event);
      if (urgent.test(event.name) || queue.length >= max) flush();
      else timer = timer || setTimeout(flush, wait);
    },
    flush,
    clear() {
      clearTimeout(timer);
      timer = undefined;
      waiting.forEach(clearTimeout);
      waiting.clear();
      queue = [];
      era++;
    },
  };
}
